import type { CacheLines, Kernel, PhysicalMemory } from '@iommukit/kernel';

/** INV-1 (no DMA touches a frame that is free or has another owner than when it was translated) and INV-2 (no freed table). */
export class FreedFrames {
  readonly kernel: Kernel;
  readonly memory: PhysicalMemory;
  /** The kind of table that was fetched from last, and by owner number whether the owner's frames are such tables. */
  what = '';
  fits: boolean[] = [];
  readonly byWhat = new Map<string, boolean[]>();

  constructor(kernel: Kernel, memory: PhysicalMemory) {
    this.kernel = kernel;
    this.memory = memory;
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
      'INV-1',
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

  /** Hardware fetches a table entry: the frame must be in use, and be such a table. Benchmark: translate-miss-1k. */
  fetched(agent: string, pfn: number, what: string, pasid: number): void {
    if (what !== this.what) this.learn(what);
    const { memory } = this;
    // The first region's dense indexes begin at 0; indexOf has callers of many kinds, and is slower here.
    const offset = pfn - memory.firstPfn;
    const index = offset >= 0 && offset < memory.firstFrames ? offset : memory.indexOf(pfn);
    if (index >= 0) {
      const { generation, owner } = memory.frames;
      const number = owner[index]!;
      if ((generation[index]! & 1) === 1 && (this.fits[number] === true || this.isTable(number))) return;
    }
    this.report(agent, pfn, what, pasid);
  }

  /** Owners are judged by name once a kind of table. */
  learn(what: string): void {
    this.what = what;
    this.fits = this.byWhat.get(what) ?? [];
    this.byWhat.set(what, this.fits);
  }

  isTable(owner: number): boolean {
    const fits = this.memory.frames.owners[owner]!.endsWith(this.what);
    this.fits[owner] = fits;
    return fits;
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
