import type { DmaMemory, InterruptLine, Kernel, Mmio, Setting } from '@iommukit/kernel';

/** A device as its driver sees it; filled by the machine from firmware and enumeration. */
export interface Device {
  /** `0000:00:03.0`, or the platform device's node name. */
  readonly name: string;
  readonly kernel: Kernel;
  /** StreamIDs (requester ids as the IOMMU sees them). */
  readonly streams: readonly number[];
  /** Coherent memory for tables and queues. */
  readonly dma: DmaMemory;
  /** Register windows: BARs, or `reg` entries. */
  readonly mmio: readonly Mmio[];
  /** PCI configuration space (4096 bytes), or null for a platform device. */
  readonly config: Mmio | null;
  /** An interrupt line by its name in firmware. @throws IommuError ENOENT if there is none of this name */
  irq(name: string): InterruptLine;
  /** A firmware property: `ats-supported`, `pasid-num-bits`, `dma-can-stall`, `untrusted`; null when absent. */
  property(name: string): Setting | null;
}
