import type { QemuVersion } from '../process/version.js';

/** The instruction sets of the programs that are used. */
export type QemuArch = 'aarch64' | 'riscv64' | 'x86_64';

/** A PCI device on the root bus. */
export interface PlacedDevice {
  readonly model: 'edu' | 'iommu-testdev' | 'riscv-iommu-pci';
  /** Its slot; its function is 0. */
  readonly slot: number;
}

/** How interrupts of the IOMMU or of devices are seen. QEMU tells of one object's lines. */
export interface Interception {
  readonly direction: 'in' | 'out';
  /** The object's path. */
  readonly path: string;
  /** Its list of outputs. */
  readonly list?: string;
  /** The meaning of its lines by number, as far as it is known. */
  readonly lines: Readonly<Record<number, string>>;
}

/** A kind of machine: where its things are, and how it is asked for. */
export interface QemuMachineSpec {
  readonly arch: QemuArch;
  /** One line about it. */
  readonly about: string;
  /** Arguments but those that every machine gets; they differ by version. */
  arguments(version: QemuVersion): readonly string[];
  readonly devices: readonly PlacedDevice[];
  /** First byte of RAM, and how much it has unless told otherwise. */
  readonly ram: { readonly base: number; readonly bytes: number };
  /** Ranges of the CPU's address space, within RAM's, that are not plain memory. */
  readonly holes: readonly { readonly base: number; readonly bytes: number }[];
  /** The IOMMU's registers, or null: then it is a PCI device and they are in its BAR 0. */
  readonly iommu: { readonly base: number; readonly bytes: number } | null;
  /** PCI configuration space, bus 0 first. */
  readonly ecam: number;
  /** True if configuration space answers only after it was placed through ports 0xcf8 and 0xcfc. */
  readonly ecamByPorts: boolean;
  /** Where BARs go. */
  readonly window: { readonly base: number; readonly bytes: number };
  /** Null: nothing shows them. */
  readonly interception: Interception | null;
  /** A loop that waits for nothing, for versions whose CPUs run: its bytes, and the arguments that load its file. */
  readonly parking: { readonly bytes: Uint8Array; arguments(file: string): readonly string[] };
}
