import type { ForeignTime, InterruptLine, Kernel, MachineBus } from '@iommukit/kernel';

/**
 * Hardware that this process does not model: a machine on the other side of a pipe. It has the IOMMUs and the PCI functions
 * that the platform description names, with their configuration space and registers on its bus.
 */
export interface ForeignHardware extends ForeignTime {
  /** For people: `QEMU 11.1.3, q35 with intel-iommu`. */
  readonly name: string;
  /**
   * True: its walks see what this side stores, whatever its registers say of snooping: the CPUs of this side have no caches that
   * it could miss. Drivers learn it as the property `coherent-walks` of an IOMMU.
   */
  readonly coherentWalks: boolean;
  /** Its registers and its RAM, whose frames this side hands out. Called once. */
  bus(kernel: Kernel): MachineBus;
  /**
   * Everything is plugged in: from now on interrupts go to these lines. `line` gives the line of a device (an IOMMU's node
   * name, `0000:00:04.0`) by its name there (`fault`, `eventq`, `intx`), or null where nobody listens.
   */
  connect(line: (device: string, name: string) => InterruptLine | null): void;
}
