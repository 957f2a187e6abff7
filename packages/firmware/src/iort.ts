import type { AddressRange } from './platform-description.js';

/**
 * An ACPI IO Remapping Table as typed nodes (Arm DEN 0049, issue E): which IOMMU is where, and who stands behind it. Plain
 * data; nodes name one another by their byte offsets in the table.
 */
export interface Iort {
  readonly revision: number;
  /** OEM id and table id. */
  readonly maker: string;
  /** In the order of the table. */
  readonly nodes: readonly IortNode[];
}

/** One node, discriminated by `kind`. */
export type IortNode =
  | IortItsGroup
  | IortNamedComponent
  | IortRootComplex
  | IortSmmu
  | IortSmmuV3
  | IortPmcg
  | IortReserved
  | IortUnknown;

/** What every node has. */
export interface IortNodeBase {
  /** Byte offset in the table: other nodes refer to it by this. */
  readonly offset: number;
  readonly revision: number;
  readonly identifier: number;
  readonly mappings: readonly IortMapping[];
}

/** Input ids [inputBase, inputBase + count) leave as the ids from `outputBase` on, at the node `output`. */
export interface IortMapping {
  readonly inputBase: number;
  readonly count: number;
  readonly outputBase: number;
  /** The offset of a node. */
  readonly output: number;
  /** Whatever the input id, the output is `outputBase`. */
  readonly single: boolean;
}

/** How a device's accesses to memory behave. */
export interface IortMemoryAccess {
  /** Coherent with the CPUs' caches. */
  readonly coherent: boolean;
  readonly hints: number;
  readonly flags: number;
}

/** Interrupt translation services that messages go to. */
export interface IortItsGroup extends IortNodeBase {
  readonly kind: 'its-group';
  readonly ids: readonly number[];
}

/** A platform device: an object of the ACPI namespace. */
export interface IortNamedComponent extends IortNodeBase {
  readonly kind: 'named-component';
  /** Its path in the namespace: `\_SB_.DMA0`. */
  readonly name: string;
  /** Its transactions may be stalled. */
  readonly stall: boolean;
  /** Width of its SubstreamIDs; 0: it sends none. */
  readonly pasidBits: number;
  readonly memory: IortMemoryAccess;
  /** Physical address bits that it can reach. */
  readonly addressBits: number;
}

/** A PCI root complex. */
export interface IortRootComplex extends IortNodeBase {
  readonly kind: 'root-complex';
  readonly segment: number;
  /** It passes ATS, page requests, PASIDs. */
  readonly ats: boolean;
  readonly pri: boolean;
  readonly pasidForwarding: boolean;
  /** Widest PASID it passes; null: the table is too old to say. */
  readonly pasidBits: number | null;
  readonly memory: IortMemoryAccess;
  /** Physical address bits that devices below can reach; null: the table is too old to say. */
  readonly addressBits: number | null;
}

/** An SMMU of version 1 or 2. */
export interface IortSmmu extends IortNodeBase {
  readonly kind: 'smmu';
  readonly base: number;
  readonly bytes: number;
  /** 0 generic version 1, 1 generic version 2, 2 MMU-400, 3 MMU-500, further ones by vendors. */
  readonly model: number;
  readonly coherent: boolean;
  /** GSIVs of its context banks. */
  readonly contextInterrupts: readonly number[];
}

/** An SMMUv3. */
export interface IortSmmuV3 extends IortNodeBase {
  readonly kind: 'smmuv3';
  readonly base: number;
  /** 0 generic, 1 HiSilicon HI161x, 2 Cavium CN99xx. */
  readonly model: number;
  /** Tables and queues are coherent with the CPUs' caches, whatever IDR0 says. */
  readonly coherent: boolean;
  /** What stands for IDR0.HTTU: 0 none, 1 access, 2 access and dirty. */
  readonly httu: number;
  /** VATOS page; 0: none. */
  readonly vatos: number;
  /** Wired interrupts as GSIVs; 0: none, or by message. */
  readonly interrupts: { readonly event: number; readonly pri: number; readonly gerror: number; readonly sync: number };
  /** Proximity domain, or null. */
  readonly proximity: number | null;
}

/** A group of performance counters. */
export interface IortPmcg extends IortNodeBase {
  readonly kind: 'pmcg';
  readonly base: number;
  readonly interrupt: number;
  /** The node that it counts for. */
  readonly of: number;
}

/** Memory that firmware keeps mapped one to one for a stream. */
export interface IortReserved extends IortNodeBase {
  readonly kind: 'reserved';
  /** The mapping may be moved. */
  readonly remappable: boolean;
  /** Accesses are privileged. */
  readonly privileged: boolean;
  readonly ranges: readonly AddressRange[];
}

/** A kind of node that is not read here. */
export interface IortUnknown extends IortNodeBase {
  readonly kind: 'unknown';
  readonly type: number;
}
