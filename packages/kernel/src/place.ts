import type { PhysicalBus } from './bus.js';
import type { InterruptLine } from './interrupt.js';
import type { Kernel } from './kernel.js';
import type { Setting } from './types.js';

/** Where a hardware model is put: what it is connected to, and what it can do. */
export interface HardwarePlace {
  readonly kernel: Kernel;
  /** The bus it claims its registers on, and whose memory it reads and writes. */
  readonly bus: PhysicalBus;
  /** The name in reports: a devicetree node, `0000:00:03.0`. */
  readonly name: string;
  /** Physical address of its registers; 0 for a PCI function, whose BARs come from configuration space. */
  readonly base: number;
  readonly bytes: number;
  /** Capabilities as data; what is absent has the model's default. */
  readonly capabilities: Readonly<Record<string, Setting>>;
  /** Its interrupt lines by the platform's names. */
  irq(name: string): InterruptLine;
}
