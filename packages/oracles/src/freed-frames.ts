import type { CacheLines, FrameMemory, Kernel } from '@iommukit/kernel';

/** A generation that no frame reaches. */
const NEVER = 0xffffffff;

/** INV-1 (no DMA touches a frame that is free or has another owner than when it was translated) and INV-2 (no freed table). */
export class FreedFrames {
  readonly kernel: Kernel;
  readonly memory: FrameMemory;
  readonly generation: Uint32Array;
  /** The kind of table that was fetched from last, and the generation at which each frame was found to be such a table. */
  what = '';
  verified: Uint32Array = new Uint32Array(0);
  readonly byWhat = new Map<string, Uint32Array>();
  readonly learned: { readonly verified: Uint32Array; readonly index: number }[] = [];

  constructor(kernel: Kernel, memory: FrameMemory) {
    this.kernel = kernel;
    this.memory = memory;
    this.generation = memory.frames.generation;
    kernel.checkpoints.add(this);
  }

  /** A cached line is used: its frame must be the one that it was filled with. */
  used(lines: CacheLines, i: number): void {
    if (this.memory.generationOf(lines.frame[i]!) !== lines.generation[i]) this.staleLine(lines, i);
  }

  staleLine(lines: CacheLines, i: number): void {
    const pfn = lines.frame[i]!;
    // Where there is no RAM there is no owner: MMIO is not judged.
    if (this.memory.indexOf(pfn) < 0) return;
    this.kernel.violate(
      lines.kind === 'tables' ? 'INV-2' : 'INV-1',
      `${lines.name} still translates page 0x${lines.page[i]!.toString(16)} of PASID ${lines.pasid[i]} to frame 0x${pfn.toString(16)}: ${this.fate(pfn)}`,
    );
  }

  /** A device's access reaches memory. */
  dma(device: string, pasid: number, pfn: number, witness: number, write: boolean): void {
    const now = this.memory.generationOf(pfn);
    if (now === witness || this.memory.indexOf(pfn) < 0) return;
    if (witness === 0 && now % 2 === 1) return;
    this.kernel.violate(
      'INV-1',
      `${device} ${write ? 'writes' : 'reads'} frame 0x${pfn.toString(16)} for PASID ${pasid}: ${this.fate(pfn)}`,
    );
  }

  /** Hardware fetches a table entry: the frame must be in use, and be such a table. Benchmark: translate-miss-1m. */
  fetched(agent: string, pfn: number, what: string, pasid: number): void {
    if (what !== this.what) this.learn(what);
    // The first region's dense indexes begin at 0; indexOf has callers of many kinds, and is slower here.
    const offset = pfn - this.memory.firstPfn;
    const index = offset >= 0 && offset < this.memory.firstFrames ? offset : this.memory.indexOf(pfn);
    if (index >= 0 && this.verified[index] === this.generation[index]) return;
    if (!this.verify(index, pfn)) this.report(agent, pfn, what, pasid);
  }

  learn(what: string): void {
    this.what = what;
    this.verified = this.byWhat.get(what) ?? new Uint32Array(this.memory.frameCount).fill(NEVER);
    this.byWhat.set(what, this.verified);
  }

  /** Owners are judged by name; the answer holds until the frame changes hands. A free frame's generation is never kept. */
  verify(index: number, pfn: number): boolean {
    if (this.memory.frames.ownerOf(pfn)?.endsWith(this.what) !== true) return false;
    this.verified[index] = this.generation[index]!;
    this.learned.push({ verified: this.verified, index });
    return true;
  }

  /** After a restore the same generation may be another owner's. */
  save(): () => void {
    return () => {
      for (const { verified, index } of this.learned) verified[index] = NEVER;
      this.learned.length = 0;
    };
  }

  report(agent: string, pfn: number, what: string, pasid: number): void {
    this.kernel.violate(
      'INV-2',
      `${agent} fetches a ${what} entry for PASID ${pasid} from frame 0x${pfn.toString(16)}: ${this.fate(pfn)}`,
    );
  }

  fate(pfn: number): string {
    return this.memory.frames.story(pfn) ?? `it belongs to ${this.memory.frames.ownerOf(pfn)} now`;
  }
}
