import type { AddressSpaceFormat } from '@iommukit/core';
import type { Coroutine, Footprint, Kernel } from '@iommukit/kernel';

/** One row: the page tables that requests of a (stream, PASID) go through. Never changed, only replaced. */
export interface Row {
  /** Physical address of the top-level table. */
  readonly pgd: number;
  readonly format: AddressSpaceFormat;
  /** The process has died: requests are refused, and nothing is recorded (SVA-11). */
  readonly quiet: boolean;
}

/** The flat table of the IOMMU: a row for each (stream, PASID), and the streams whose devices may translate themselves. */
export class Table {
  readonly kernel: Kernel;
  readonly rows: Map<string, Row>;
  readonly state = { ats: new Set<number>() };
  /** What accesses read and drivers write. */
  readonly footprint: Footprint;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.rows = kernel.checkpoints.keepMap(new Map());
    kernel.checkpoints.keep(this.state);
    this.footprint = kernel.footprint();
  }

  /** The row, or null; `pasid` is -1 without. */
  find(stream: number, pasid: number): Row | null {
    return this.rows.get(keyOf(stream, pasid)) ?? null;
  }

  /** Writes a row: it holds for whatever arrives from here on. */
  *set(stream: number, pasid: number, row: Row): Coroutine<void> {
    yield* this.kernel.point(this.footprint, true);
    this.rows.set(keyOf(stream, pasid), row);
  }

  /** Removes a row. */
  *clear(stream: number, pasid: number): Coroutine<void> {
    yield* this.kernel.point(this.footprint, true);
    this.rows.delete(keyOf(stream, pasid));
  }

  /** Lets a stream's device translate by itself, or no longer. */
  *allowAts(stream: number, allowed: boolean): Coroutine<void> {
    yield* this.kernel.point(this.footprint, true);
    if (allowed) this.state.ats.add(stream);
    else this.state.ats.delete(stream);
  }

  /** True if the stream's device may translate by itself. */
  mayTranslate(stream: number): boolean {
    return this.state.ats.has(stream);
  }
}

/** A string, so that no number that a device may send stands for another row. */
function keyOf(stream: number, pasid: number): string {
  return `${stream}/${pasid}`;
}
