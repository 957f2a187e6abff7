import {
  FrameSpace,
  type Frames,
  IommuError,
  type Kernel,
  type MachineBus,
  type MmioTarget,
  type MmioWindow,
} from '@iommukit/kernel';
import { QemuBus } from './bus.js';
import type { Qemu } from './qemu-machine.js';

const FRAME = 4096;
const ZEROS = new Uint8Array(FRAME);

/** The first bytes of RAM are the machine's: descriptions of it, the loop of parked CPUs, video memory. */
export const KEPT_BYTES = 2 * 2 ** 20;

/** QEMU's bus as a kernel's: frames are handed out on this side, and who waits for a word is told of this side's stores. */
export class QemuMachineBus extends QemuBus implements MachineBus {
  readonly kernel: Kernel;
  readonly memory: FrameSpace;
  readonly frames: Frames;

  constructor(kernel: Kernel, qemu: Pick<Qemu, 'client' | 'memory' | 'spec'>) {
    super(qemu.client, qemu.memory);
    this.kernel = kernel;
    const from = qemu.spec.ram.base + KEPT_BYTES;
    const regions = qemu.memory.ranges
      .map(({ base, bytes }) => ({ base: Math.max(base, from), end: base + bytes }))
      .filter(({ base, end }) => end > base)
      .map(({ base, end }) => ({ base, bytes: end - base }));
    this.memory = new FrameSpace(kernel, regions, (pfn) => this.file.write(pfn * FRAME, ZEROS));
    this.frames = this.memory.frames;
  }

  /** @throws IommuError EOPNOTSUPP always: what answers on this bus is in QEMU */
  claim(base: number, _bytes: number, _target: MmioTarget): MmioWindow {
    throw new IommuError('EOPNOTSUPP', `nothing of this process can answer at 0x${base.toString(16)} of QEMU's bus`, {
      remedy: 'plug the device into QEMU',
    });
  }

  override write8(pa: number, value: number): void {
    super.write8(pa, value);
    this.stored(pa, 1);
  }

  override write16(pa: number, value: number): void {
    super.write16(pa, value);
    this.stored(pa, 2);
  }

  override store32(pa: number, value: number): void {
    super.store32(pa, value);
    this.stored(pa, 4);
  }

  override store64(pa: number, lo: number, hi: number): void {
    super.store64(pa, lo, hi);
    this.stored(pa, 8);
  }

  override swap64(pa: number, old: Uint32Array, lo: number, hi: number): boolean {
    const swapped = super.swap64(pa, old, lo, hi);
    if (swapped) this.stored(pa, 8);
    return swapped;
  }

  override write(pa: number, from: Uint8Array): void {
    super.write(pa, from);
    this.stored(pa, from.length);
  }

  stored(pa: number, bytes: number): void {
    if (this.kernel.watchers.size === 0) return;
    const end = Math.ceil((pa + bytes) / 8);
    for (let word = Math.floor(pa / 8); word < end; word++) this.kernel.stored(word);
  }
}
