import { assert } from './errors.js';
import { FrameAllocator, type FrameRegion, type FrameStore } from './frames.js';
import type { Kernel } from './kernel.js';
import type { MemoryRegion } from './memory.js';

const FRAME = 4096;

/** RAM as its owners see it: which frames there are, and who has which. */
export interface FrameMemory extends FrameStore {
  readonly frames: FrameAllocator;
  /** The first region, whose dense indexes begin at 0. */
  readonly firstPfn: number;
  readonly firstFrames: number;
  /** Odd while the frame is allocated, even while it is free; differs each time its owner does. 0 outside RAM. */
  generationOf(pfn: number): number;
}

/** {@link FrameMemory} over RAM whose words lie elsewhere: somebody else's process. */
export class FrameSpace implements FrameMemory {
  readonly regions: readonly FrameRegion[];
  readonly frameCount: number;
  readonly firstPfn: number;
  readonly firstFrames: number;
  readonly frames: FrameAllocator;
  readonly zeroFrame: (pfn: number) => void;

  /** `zero` fills a frame with zeros: called before a frame is handed out. */
  constructor(kernel: Kernel, regions: readonly MemoryRegion[], zero: (pfn: number) => void) {
    let index = 0;
    this.zeroFrame = zero;
    this.regions = [...regions]
      .sort((a, b) => a.base - b.base)
      .map(({ base, bytes }) => {
        assert(base % FRAME === 0 && bytes % FRAME === 0, 'RAM is made of whole frames');
        const region = { firstPfn: base / FRAME, frames: bytes / FRAME, firstIndex: index };
        index += region.frames;
        return region;
      });
    this.frameCount = index;
    this.firstPfn = this.regions[0]?.firstPfn ?? 0;
    this.firstFrames = this.regions[0]?.frames ?? 0;
    this.frames = new FrameAllocator(kernel, this);
  }

  /** The dense index of a frame, or -1 outside RAM. */
  indexOf(pfn: number): number {
    for (const { firstPfn, frames, firstIndex } of this.regions) {
      if (pfn >= firstPfn && pfn < firstPfn + frames) return firstIndex + (pfn - firstPfn);
    }
    return -1;
  }

  /** The frame number of a dense index. */
  pfnOf(index: number): number {
    const region = this.regions.find((r) => index < r.firstIndex + r.frames)!;
    return region.firstPfn + (index - region.firstIndex);
  }

  generationOf(pfn: number): number {
    const index = this.indexOf(pfn);
    return index < 0 ? 0 : this.frames.generation[index]!;
  }

  zero(index: number): void {
    this.zeroFrame(this.pfnOf(index));
  }
}
