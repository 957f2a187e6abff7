/** Rights in a page request and in VMAs (uapi bits: sva-core.md 7). */
export const PERM = { READ: 1, WRITE: 2, EXEC: 4, PRIV: 8 } as const;

/** What a group of page requests is answered with (sva-core.md 7, "Response codes"). */
export const RESPONSE = { SUCCESS: 0, INVALID: 1, FAILURE: 2 } as const;

/** One of {@link RESPONSE}. */
export type ResponseCode = 0 | 1 | 2;

/** What hardware reports (sva-core.md 7): only page requests can be handled. */
export const FAULT_TYPE = { UNRECOVERABLE: 1, PAGE_REQUEST: 2 } as const;

/** Why an unrecoverable fault happened (sva-core.md 7). */
export const FAULT_REASON = {
  UNKNOWN: 0,
  PASID_FETCH: 1,
  BAD_PASID_ENTRY: 2,
  PASID_INVALID: 3,
  WALK_EABT: 4,
  PTE_FETCH: 5,
  PERMISSION: 6,
  ACCESS: 7,
  OUT_OF_RANGE: 8,
} as const;

/** One page request, as a driver reports it. */
export interface PageRequest {
  readonly type?: typeof FAULT_TYPE.PAGE_REQUEST;
  readonly pasid: number | null;
  /** PRG index or stall tag: unique per device while pending. */
  readonly group: number;
  /** The faulting page's address, page aligned, widened to 64 bits (PF-8). */
  readonly address: bigint;
  /** {@link PERM} bits. */
  readonly perm: number;
  /** Closes its group. */
  readonly last: boolean;
  /** What the driver gets back with the response (IOPF-30), as 32-bit words; null where the hardware has none. */
  readonly privateData: readonly number[] | null;
  /** The answer must name the PASID; otherwise it carries none (IOPF-7). */
  readonly needsPasid?: boolean;
  /** The access is held back by the IOMMU, which resumes or ends it: it is no message of the device. */
  readonly stall?: boolean;
}

/** A fault that nobody can do anything about. */
export interface UnrecoverableFault {
  readonly type: typeof FAULT_TYPE.UNRECOVERABLE;
  /** One of {@link FAULT_REASON}. */
  readonly reason: number;
  readonly pasid: number | null;
  readonly address: bigint;
  readonly perm: number;
}

/** The answer to a group. */
export interface PageResponse {
  /** As it is sent to a driver: null unless the request needs it. */
  readonly pasid: number | null;
  readonly group: number;
  readonly code: ResponseCode;
  /** To an access that the IOMMU holds back ({@link PageRequest.stall}). */
  readonly stall?: boolean;
  /** Of the request that closed the group (IOPF-30). */
  readonly privateData?: readonly number[];
}
