/**
 * What a teardown has unhooked and not freed yet: frames go back only after every cache was flushed (MM-5 3d, MN-18).
 */
export interface Gather {
  /** Data frames (physical address / 4096). */
  readonly pages: number[];
  /** Those of {@link pages} that were written to and belong to a file. */
  readonly dirty: number[];
  /** Table frames. */
  readonly tables: number[];
  /** The pages whose entries were present: [first, end), empty at first. */
  first: number;
  end: number;
}

/** An empty batch. */
export function newGather(): Gather {
  return { pages: [], dirty: [], tables: [], first: Number.POSITIVE_INFINITY, end: 0 };
}

/** Widens the range to be flushed. */
export function cover(gather: Gather, first: number, end: number): void {
  if (first < gather.first) gather.first = first;
  if (end > gather.end) gather.end = end;
}

/** True if nothing was present. */
export function isEmpty(gather: Gather): boolean {
  return gather.end === 0;
}
