/** An aligned power of two of pages: what a descriptor can name. */
export interface PageRange {
  /** Byte address of the first page. */
  readonly base: number;
  /** log2 of the pages; 52 is everything. */
  readonly order: number;
}

/** Order of everything: 2^52 pages (vtd.md 9). */
export const FULL_ORDER = 52;

const PAGE = 2 ** 12;

const checkOrder = (order: number): number => {
  if (!(Number.isInteger(order) && order >= 0 && order <= FULL_ORDER)) {
    throw new RangeError(`an order is 0 to ${FULL_ORDER}, not ${order}`);
  }
  return order;
};

/** A byte address with its low bits cleared, so that it is aligned to 2^order pages. Exact for whole pages of 64 bits. */
export const alignPages = (address: number, order: number): number =>
  Math.floor(address / (PAGE * 2 ** order)) * PAGE * 2 ** order;

/** What ADDR and AM name, in IOTLB descriptors and IVA: 2^AM pages, low page bits ignored (vtd.md 3.12 a). AM above 52 is everything. */
export function amRange(addr: number, am: number): PageRange {
  const order = Math.min(am, FULL_ORDER);
  return { base: alignPages(addr, order), order };
}

/**
 * ADDR and S of a device-TLB descriptor for 2^order pages around `base`, which is rounded down (vtd.md 3.12 b). `base` is a
 * byte address. Throws RangeError when the order is not 0 to 52.
 */
export function encodeDeviceTlbRange(base: number, order: number): { readonly addr: number; readonly s: number } {
  checkOrder(order);
  const first = alignPages(base, order);
  if (order === 0) return { addr: first, s: 0 };
  return { addr: first + PAGE * (2 ** (order - 1) - 1), s: 1 };
}

/** What ADDR and S of a device-TLB descriptor name: the lowest zero bit of ADDR tells the size (vtd.md 3.12 b). */
export function decodeDeviceTlbRange(addr: number, s: number): PageRange {
  if (s === 0) return { base: alignPages(addr, 0), order: 0 };
  let pages = Math.floor(addr / PAGE);
  let order = 1;
  while (pages % 2 === 1 && order < FULL_ORDER) {
    pages = Math.floor(pages / 2);
    order++;
  }
  return { base: alignPages(addr, order), order };
}

/** Levels of a second-stage walk: AW+2 (vtd.md 2.2). */
export const awLevels = (aw: number): number => aw + 2;

/** Input address bits of a second-stage walk: 30+9*AW (vtd.md 2.2). */
export const awBits = (aw: number): number => 30 + 9 * aw;

/** Entries of a PASID directory: 2^(PDTS+7) (vtd.md 2.8). */
export const directoryEntries = (pdts: number): number => 2 ** (pdts + 7);

/** PASIDs of a PASID directory: 2^(PDTS+13) (vtd.md 2.8). */
export const pasidLimit = (pdts: number): number => 2 ** (pdts + 13);

/** PASIDs of a PASID table of the extended mode: 2^(PTS+5) (vtd.md 2.4). */
export const ecsPasidLimit = (pts: number): number => 2 ** (pts + 5);

/** Entries of a page request queue of `entryBytes` each: 4096 * 2^PQS bytes (vtd.md 1.10). */
export const pageRequestQueueEntries = (pqs: number, entryBytes: number): number => (PAGE * 2 ** pqs) / entryBytes;

/** Descriptors of an invalidation queue of IQA.QS and IQA.DW (vtd.md 1.9). */
export const invalidationQueueEntries = (qs: number, dw: number): number => 2 ** (qs + (dw === 0 ? 8 : 7));
