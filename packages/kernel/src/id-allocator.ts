import type { Kernel } from './kernel.js';

/** Numbers out of [first, last], the lowest free one first: a freed number is the very next one handed out. */
export class IdAllocator {
  readonly kernel: Kernel;
  readonly what: string;
  readonly first: number;
  readonly last: number;
  readonly used = new Set<number>();
  /** Every number below it is in use: what is looked for is not searched for from the beginning. */
  lowest: number;

  constructor(kernel: Kernel, what: string, first: number, last: number) {
    this.kernel = kernel;
    this.what = what;
    this.first = first;
    this.last = last;
    this.lowest = first;
    kernel.checkpoints.add({ save: () => this.save() });
  }

  /**
   * The lowest free number in [min, max] (default: the whole range), or null when there is none.
   * @throws IommuError ENOMEM when told to fail
   */
  alloc(min = this.first, max = this.last): number | null {
    this.kernel.injection.allocate(this.what);
    for (let id = Math.max(min, this.lowest); id <= Math.min(max, this.last); id++) {
      if (this.used.has(id)) continue;
      this.used.add(id);
      if (min <= this.lowest) this.lowest = id + 1;
      return id;
    }
    return null;
  }

  /** Gives a number back; one that is not in use is a violation (INV-9). */
  free(id: number): void {
    if (!this.used.delete(id)) this.kernel.violate('INV-9', `${this.what} ${id} is freed, but is not in use`);
    else if (id < this.lowest) this.lowest = id;
  }

  save(): () => void {
    const saved = [...this.used];
    const { lowest } = this;
    return () => {
      this.lowest = lowest;
      this.used.clear();
      for (const id of saved) this.used.add(id);
    };
  }
}
