/** What a job does. */
export type Operation = 'copy' | 'fill' | 'checksum';

/** One job for the engine. Addresses are the process's own. */
export interface Job {
  readonly op: Operation;
  /** What COPY and CHECKSUM read. Page aligned. */
  readonly source: bigint;
  /** What COPY and FILL write. Page aligned. */
  readonly destination: bigint;
  /** A multiple of 8, at most 2^32 - 8. */
  readonly bytes: number;
  /** The 32-bit word that FILL writes. */
  readonly pattern: number;
  /** Destination pages to ask for in one group of page requests (0 to 255); 0: one by one, as needed. */
  readonly prefetch: number;
}

/** How a job ended: `cancelled` when a page that it needs was refused, `failed` when the IOMMU cannot serve the device. */
export type JobOutcome = 'done' | 'cancelled' | 'failed' | 'invalid';

/** What a job came to. */
export interface JobResult {
  readonly status: JobOutcome;
  /** The sum of all 32-bit words, of a checksum job. */
  readonly sum: number;
}
