import { type Kernel, PhysicalBus } from '@iommukit/kernel';
import { ImageMemory } from './image-memory.js';
import type { MemoryImage } from './memory-image.js';

/** A bus whose RAM is an image's. */
export class ImageBus extends PhysicalBus {
  override readonly memory: ImageMemory;

  constructor(kernel: Kernel, image: MemoryImage) {
    super(kernel, []);
    this.memory = new ImageMemory(kernel, image);
  }
}
