import type { Job, JobOutcome } from './job.js';
import * as R from './registers.js';
import { NO_PASID } from './work.js';

/** What a job's end in STATUS means. */
export const OUTCOMES: Readonly<Record<number, JobOutcome>> = {
  [R.JOB_STATUS.DONE]: 'done',
  [R.JOB_STATUS.CANCELLED]: 'cancelled',
  [R.JOB_STATUS.FAILED]: 'failed',
  [R.JOB_STATUS.STOPPED]: 'stopped',
};
const OPCODES = { copy: R.OPCODE.COPY, fill: R.OPCODE.FILL, checksum: R.OPCODE.CHECKSUM } as const;

/** What OPERATION says of a job. */
export function operationOf(pasid: number, job: Job): number {
  return R.OPERATION.pack({
    opcode: OPCODES[job.op],
    noPasid: pasid === NO_PASID ? 1 : 0,
    endless: job.endless === true ? 1 : 0,
    eager: job.eager === true ? 1 : 0,
    privileged: job.privileged === true ? 1 : 0,
  });
}

/** What STOP says to ask for the stop of a PASID. */
export function stopOf(pasid: number): number {
  return R.STOP.pack({ pasid: Math.max(pasid, 0), noPasid: pasid === NO_PASID ? 1 : 0, request: 1 });
}

/** True if STOPPED says that the stop of the PASID is complete. */
export function hasStopped(value: number, pasid: number): boolean {
  const { done, noPasid, pasid: stopped } = R.STOPPED.f;
  return done.of(value) === 1 && (noPasid.of(value) === 1 ? NO_PASID : stopped.of(value)) === pasid;
}

/** The low word of an address. */
export function low(address: bigint): number {
  return Number(address & 0xffffffffn);
}

/** The high word of an address. */
export function high(address: bigint): number {
  return Number(address >> 32n);
}
