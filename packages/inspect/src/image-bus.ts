import { type Kernel, type MmioTarget, type MmioWindow, PhysicalBus } from '@iommukit/kernel';
import { ImageMemory } from './image-memory.js';
import type { MemoryImage } from './memory-image.js';

/** A bus whose RAM is an image's, apart from the window that a unit claims for its registers. */
export class ImageBus extends PhysicalBus {
  override readonly memory: ImageMemory;

  constructor(kernel: Kernel, image: MemoryImage) {
    super(kernel, []);
    this.memory = new ImageMemory(kernel, image);
  }

  override claim(base: number, bytes: number, target: MmioTarget): MmioWindow {
    this.memory.window.from = base;
    this.memory.window.to = base + bytes;
    return super.claim(base, bytes, target);
  }
}
