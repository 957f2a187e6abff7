/**
 * What an unmap took out of a domain's tables. Its owner flushes pages [first, end), tables too unless {@link tables} is
 * empty, and frees the tables only then (MN-18).
 */
export interface IoGather {
  /** The pages whose entries were present, or whose tables were unhooked: [first, end), empty at first. */
  first: number;
  end: number;
  /** Pages of 4 KiB that were mapped. */
  unmapped: number;
  /** Pages of the smallest leaf among them: how far apart invalidations may be. */
  leaf: number;
  /** Pages of the largest. */
  largest: number;
  /** Frames of tables that were unhooked. */
  readonly tables: number[];
}

/** Nothing was unmapped yet. */
export function newIoGather(): IoGather {
  return {
    first: Number.POSITIVE_INFINITY,
    end: 0,
    unmapped: 0,
    leaf: Number.POSITIVE_INFINITY,
    largest: 0,
    tables: [],
  };
}

/** A leaf of `pages` pages at `page` went. */
export function unmapped(gather: IoGather, page: number, pages: number): void {
  gather.first = Math.min(gather.first, page);
  gather.end = Math.max(gather.end, page + pages);
  gather.unmapped += pages;
  gather.leaf = Math.min(gather.leaf, pages);
  gather.largest = Math.max(gather.largest, pages);
}

/** A table that served pages [page, end) went, empty or not: walk caches know it by any of them. */
export function unhooked(gather: IoGather, frame: number, page: number, end: number): void {
  gather.first = Math.min(gather.first, page);
  gather.end = Math.max(gather.end, end);
  gather.tables.push(frame);
}
