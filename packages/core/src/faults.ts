/** Rights in a page request and in VMAs (uapi bits: sva-core.md 7). */
export const PERM = { READ: 1, WRITE: 2, EXEC: 4, PRIV: 8 } as const;

/** What a group of page requests is answered with (sva-core.md 7, "Response codes"). */
export const RESPONSE = { SUCCESS: 0, INVALID: 1, FAILURE: 2 } as const;

/** One of {@link RESPONSE}. */
export type ResponseCode = 0 | 1 | 2;

/** One page request, as a driver reports it. */
export interface PageRequest {
  readonly pasid: number | null;
  /** PRG index or stall tag: unique per device while pending. */
  readonly group: number;
  /** The faulting page's address, page aligned, widened to 64 bits (PF-8). */
  readonly address: bigint;
  /** {@link PERM} bits. */
  readonly perm: number;
  /** Closes its group. */
  readonly last: boolean;
  /** Echoed in the response; null where the hardware has none. */
  readonly privateData: readonly [number, number] | null;
}

/** The answer to a group. */
export interface PageResponse {
  readonly pasid: number | null;
  readonly group: number;
  readonly code: ResponseCode;
}
