/** A place in memory as page number (address / 4096) and offset: it moves along as a job goes on. */
export interface Cursor {
  page: number;
  offset: number;
}

/** In place of a PASID: requests that are tagged with nothing but the requester. */
export const NO_PASID = -1;

/** A job as the registers described it when the doorbell rang. */
export interface Work {
  readonly opcode: number;
  /** -1: requests without a PASID. */
  readonly pasid: number;
  /** Begins again whenever it is through, until its PASID is stopped. */
  readonly endless: boolean;
  /** Asks again while the PASID means nothing to the IOMMU. */
  readonly eager: boolean;
  /** Its requests ask for privileged mode. */
  readonly privileged: boolean;
  readonly source: Cursor;
  readonly destination: Cursor;
  /** What is left to do. */
  bytes: number;
  readonly pattern: number;
  /** Destination pages to ask for at once; 0: none. */
  readonly prefetch: number;
  /** The first destination page that was not asked for yet. */
  prefetched: number;
}

/** Bytes of a page, and the most that one message carries. */
export const PAGE = 4096;

/** Moves on by at most a page. */
export function advance(cursor: Cursor, bytes: number): void {
  cursor.offset += bytes;
  if (cursor.offset < PAGE) return;
  cursor.offset -= PAGE;
  cursor.page++;
}

/** The byte address of a page. */
export function addressOf(page: number): bigint {
  return BigInt(page) * BigInt(PAGE);
}
