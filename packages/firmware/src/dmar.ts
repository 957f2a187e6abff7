/**
 * An ACPI DMA Remapping table as typed structures (VT-d specification, chapter 8): which VT-d unit is where, and who stands
 * behind it. Plain data.
 */
export interface Dmar {
  readonly revision: number;
  /** OEM id and table id. */
  readonly maker: string;
  /** Host address width: physical address bits that DMA can reach. */
  readonly addressBits: number;
  /** Interrupts can be remapped. */
  readonly interruptRemapping: boolean;
  /** Firmware asks for xAPIC mode. */
  readonly x2apicOptOut: boolean;
  /** Firmware asks that DMA be remapped from the start. */
  readonly dmaOptIn: boolean;
  /** In the order of the table. */
  readonly structures: readonly DmarStructure[];
}

/** One structure, discriminated by `kind`. */
export type DmarStructure = DmarDrhd | DmarRmrr | DmarAtsr | DmarRhsa | DmarAndd | DmarSatc | DmarUnknown;

/** What every structure has. */
export interface DmarStructureBase {
  /** Byte offset in the table. */
  readonly offset: number;
}

/** A VT-d unit. */
export interface DmarDrhd extends DmarStructureBase {
  readonly kind: 'drhd';
  /** The PCI segment of all it names. */
  readonly segment: number;
  /** Its registers. */
  readonly base: number;
  readonly bytes: number;
  /** It takes every function of the segment that no other unit names. */
  readonly includePciAll: boolean;
  readonly scopes: readonly DmarScope[];
}

/** Memory that devices keep using: it stays mapped one to one for them. */
export interface DmarRmrr extends DmarStructureBase {
  readonly kind: 'rmrr';
  readonly segment: number;
  readonly base: number;
  readonly bytes: number;
  readonly scopes: readonly DmarScope[];
}

/** Root ports that pass ATS traffic. */
export interface DmarAtsr extends DmarStructureBase {
  readonly kind: 'atsr';
  readonly segment: number;
  /** All of the segment, whatever `scopes` says. */
  readonly allPorts: boolean;
  readonly scopes: readonly DmarScope[];
}

/** The proximity domain of a unit. */
export interface DmarRhsa extends DmarStructureBase {
  readonly kind: 'rhsa';
  /** The registers of the unit. */
  readonly base: number;
  readonly proximity: number;
}

/** An ACPI device that DMA comes from: an object of the namespace. */
export interface DmarAndd extends DmarStructureBase {
  readonly kind: 'andd';
  /** Scopes of kind `namespace` name it by this. */
  readonly number: number;
  /** Its path in the namespace: `\_SB.I2C0`. */
  readonly name: string;
}

/** Functions of the chip set with an address translation cache. */
export interface DmarSatc extends DmarStructureBase {
  readonly kind: 'satc';
  readonly segment: number;
  /** They do not work without it. */
  readonly required: boolean;
  readonly scopes: readonly DmarScope[];
}

/** A kind of structure that is not read here. */
export interface DmarUnknown extends DmarStructureBase {
  readonly kind: 'unknown';
  readonly type: number;
}

/** One function, or all below a bridge, that a structure is about. */
export interface DmarScope {
  readonly offset: number;
  readonly kind: 'endpoint' | 'bridge' | 'ioapic' | 'hpet' | 'namespace' | 'unknown';
  readonly type: number;
  /** Of an I/O APIC or a timer its id, of a namespace device its number. */
  readonly enumeration: number;
  /** The bus that `path` starts from. */
  readonly bus: number;
  /** From bridge to bridge; the last one is the function itself. */
  readonly path: readonly DmarHop[];
}

/** One step of a path: device and function on the bus that is reached so far. */
export interface DmarHop {
  readonly device: number;
  readonly function: number;
}
