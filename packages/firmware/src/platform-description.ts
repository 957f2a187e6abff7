/**
 * What a firmware description says about a machine: where things are, never what they can do. Plain data without
 * references to the file it came from, so it can be printed, compared, cloned, or written by hand in a test.
 * Addresses are CPU physical addresses in bytes, exact (at most 2^53).
 */
export interface PlatformDescription {
  /** The format that it was read from. */
  readonly source: 'devicetree' | 'acpi';
  /** The machine's name as its firmware gives it; '' when it gives none. */
  readonly model: string;
  /** The number of CPUs that are not disabled. */
  readonly cpus: number;
  /** RAM, ascending, without overlaps, empty regions left out. */
  readonly memory: readonly AddressRange[];
  /** RAM (or addresses in general) that firmware keeps for itself: never hand it out. As listed; may overlap. */
  readonly reserved: readonly AddressRange[];
  /** What stands on the bus, in the order of the source; disabled nodes are left out. */
  readonly nodes: readonly PlatformNode[];
}

/** A piece of the CPU's physical address space: [base, base + bytes). */
export interface AddressRange {
  readonly base: number;
  readonly bytes: number;
}

/** One thing of the machine, discriminated by `kind`. */
export type PlatformNode =
  | PlatformIommu
  | PlatformPciHost
  | PlatformDevice
  | PlatformInterruptController
  | PlatformMsiController;

/** What every node has: its name, its unique path, and what it is compatible with, most specific first. */
export interface PlatformNodeBase {
  /** The node's name with its unit address: `smmuv3@9050000`. */
  readonly name: string;
  /** Unique in the description; other nodes refer to it by this. */
  readonly path: string;
  readonly compatible: readonly string[];
}

/** An IOMMU: anything that others may name as theirs. Which one it is, `compatible` says. */
export interface PlatformIommu extends PlatformNodeBase {
  readonly kind: 'iommu';
  /** The register window. */
  readonly base: number;
  readonly bytes: number;
  readonly interrupts: readonly PlatformInterrupt[];
  /** Its own accesses (tables, queues) are coherent with the CPUs' caches. */
  readonly coherent: boolean;
  /** Every other property of the node: quirks, flags, numbers. */
  readonly properties: Readonly<Record<string, PlatformPropertyValue>>;
}

/** A PCI root complex. */
export interface PlatformPciHost extends PlatformNodeBase {
  readonly kind: 'pci-host';
  /** The PCI segment (domain) number. */
  readonly segment: number;
  /** First and last bus number, as far as the ECAM window reaches. */
  readonly busRange: readonly [number, number];
  /** The configuration space: 1 MiB a bus, the first bus of `busRange` at `base`. */
  readonly ecam: AddressRange;
  /** The windows through which CPUs reach PCI memory and I/O space. */
  readonly windows: readonly PciWindow[];
  /** Which requester IDs reach which IOMMU under which stream number; no two entries overlap. */
  readonly iommuMap: readonly PlatformIommuMapping[];
  /** A requester ID is ANDed with this before it is looked up in `iommuMap`. */
  readonly iommuMapMask: number;
  /** The root complex passes ATS traffic. */
  readonly atsSupported: boolean;
  /** DMA from below is coherent with the CPUs' caches. */
  readonly coherent: boolean;
}

/** A device on the platform bus that stands behind an IOMMU. */
export interface PlatformDevice extends PlatformNodeBase {
  readonly kind: 'device';
  /** The first register window; base 0 and bytes 0 when it has none. */
  readonly base: number;
  readonly bytes: number;
  /** All register windows in order, the first one included. */
  readonly regions: readonly AddressRange[];
  readonly interrupts: readonly PlatformInterrupt[];
  /** One entry per IOMMU, with every stream number that the device uses there. */
  readonly iommus: readonly { readonly iommu: string; readonly streams: readonly number[] }[];
  /** The width of its PASIDs (SSIDs) in bits; 0: it sends none. */
  readonly pasidBits: number;
  /** It tolerates that its transactions are stalled while a fault is being handled. */
  readonly canStall: boolean;
  readonly coherent: boolean;
  /** Every other property of the node. */
  readonly properties: Readonly<Record<string, PlatformPropertyValue>>;
}

/** An interrupt controller. */
export interface PlatformInterruptController extends PlatformNodeBase {
  readonly kind: 'interrupt-controller';
  /** Its register windows in order (GICv3: distributor, redistributors). */
  readonly regions: readonly AddressRange[];
}

/** A target of message-signalled interrupts (a GIC's ITS). */
export interface PlatformMsiController extends PlatformNodeBase {
  readonly kind: 'msi-controller';
  readonly base: number;
  readonly bytes: number;
}

/** A wired interrupt of a node. */
export interface PlatformInterrupt {
  /** The node's own name for it (`eventq`); '' when it gives none. */
  readonly name: string;
  /** `line`: an input of a controller that knows one kind only. */
  readonly type: InterruptType;
  /** As the source counts: an SPI n is the GIC's INTID 32 + n, a PPI n is 16 + n. */
  readonly number: number;
  readonly trigger: 'edge' | 'level';
}

/** The kinds of interrupt that a GIC distinguishes, and `line` for controllers that do not. */
export type InterruptType = 'spi' | 'ppi' | 'espi' | 'eppi' | 'line';

/** One window from CPU addresses to PCI addresses. */
export interface PciWindow {
  /** CPU physical address of the first byte. */
  readonly cpu: number;
  /** PCI address of the first byte. */
  readonly pci: number;
  readonly bytes: number;
  readonly space: 'config' | 'io' | 'mem32' | 'mem64';
  readonly prefetchable: boolean;
}

/** Requester IDs [ridBase, ridBase + length) are the streams from `streamBase` on, at the IOMMU with that path. */
export interface PlatformIommuMapping {
  readonly ridBase: number;
  readonly iommu: string;
  readonly streamBase: number;
  readonly length: number;
}

/** A property's value by its looks: empty is `true`, text is a string or a list of them, otherwise 32-bit words. */
export type PlatformPropertyValue = true | string | number | readonly string[] | readonly number[];
