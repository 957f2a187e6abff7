import { IommuError } from '@iommukit/kernel';

/** What a job does. */
export type Operation = 'copy' | 'fill' | 'checksum';

/** One job for the engine. Addresses are the process's own, and multiples of 8. */
export interface Job {
  readonly op: Operation;
  /** What COPY and CHECKSUM read. */
  readonly source: bigint;
  /** What COPY and FILL write. */
  readonly destination: bigint;
  /** A multiple of 8, from 8 to 2^32 - 8. */
  readonly bytes: number;
  /** The 32-bit word that FILL writes. */
  readonly pattern: number;
  /** Destination pages to ask for in one group of page requests (0 to 255); 0: one by one, as needed. */
  readonly prefetch: number;
  /** True: the requests have no PASID; addresses are those of the DMA domain that the device is attached to. */
  readonly noPasid?: boolean;
  /** True: a runaway, which begins again whenever it is through, also when a page was refused, until it is stopped. */
  readonly endless?: boolean;
  /** True: an eager device program, which asks again while the PASID means nothing to the IOMMU. */
  readonly eager?: boolean;
  /** True: the requests ask for privileged mode, as the kernel's own addresses need it. */
  readonly privileged?: boolean;
}

/**
 * How a job ended: `cancelled` when a page that it needs was refused, `failed` when the IOMMU cannot serve the device,
 * `stopped` when its address space was taken away meanwhile, `invalid` when the device does not take such a job.
 */
export type JobOutcome = 'done' | 'cancelled' | 'failed' | 'stopped' | 'invalid';

/** What a job came to. */
export interface JobResult {
  readonly status: JobOutcome;
  /** The sum of all 32-bit words modulo 2^32, of a checksum job; otherwise 0. */
  readonly sum: number;
}

const OPERATIONS: readonly string[] = ['copy', 'fill', 'checksum'];
const END = 2n ** 64n;

/** Refuses what the registers cannot hold, or the device would not take. @throws IommuError EINVAL */
export function checkJob(job: Job): void {
  const { op, source, destination, bytes, pattern, prefetch } = job;
  if (!OPERATIONS.includes(op)) throw invalid(`the engine cannot ${String(op)}`, `it can ${OPERATIONS.join(', ')}`);
  if (!inRange(bytes, 8, 2 ** 32 - 8) || bytes % 8 !== 0)
    throw invalid(`a job of ${bytes} bytes is not possible`, 'give a multiple of 8, from 8 to 2^32 - 8');
  if (op !== 'fill') checkPlace('source', source, bytes);
  if (op !== 'checksum') checkPlace('destination', destination, bytes);
  if (!inRange(pattern, 0, 2 ** 32 - 1))
    throw invalid(`the pattern ${pattern} is no 32-bit word`, 'give 0 to 2^32 - 1');
  if (job.privileged === true && job.noPasid === true)
    throw invalid('privileged mode travels with a PASID', 'give the job a PASID, or no privilege');
  if (!inRange(prefetch, 0, 255)) throw invalid(`${prefetch} pages cannot be asked for at once`, 'give 0 to 255');
}

function checkPlace(what: string, address: bigint, bytes: number): void {
  if (address >= 0n && address % 8n === 0n && address + BigInt(bytes) <= END) return;
  throw invalid(
    `the ${what} 0x${address.toString(16)} + ${bytes} bytes is no place`,
    'begin at a multiple of 8 below 2^64',
  );
}

function inRange(value: number, least: number, greatest: number): boolean {
  return Number.isInteger(value) && value >= least && value <= greatest;
}

function invalid(message: string, remedy: string): IommuError {
  return new IommuError('EINVAL', message, { remedy });
}
