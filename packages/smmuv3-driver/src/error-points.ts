import { type TracePoint, tracepoint } from '@iommukit/kernel';
import { CERROR } from '@iommukit/smmuv3-spec';
import { hex, hex64 } from './hex.js';

/** The hardware stopped at a command. */
export interface CommandErrorRecord {
  readonly smmu: string;
  /** The consumer index register. */
  readonly cons: number;
  readonly error: number;
  /** The words of an illegal command. */
  readonly command: Uint32Array | null;
}

/** The hardware did not get to the end of what it was given. */
export interface CommandTimeoutRecord {
  readonly smmu: string;
  /** True: a CMD_SYNC at index register `at` was not reached; false: no room came up. */
  readonly sync: boolean;
  readonly at: number;
  /** The index registers. */
  readonly prod: number;
  readonly cons: number;
}

/** Global errors that became active. */
export interface GlobalErrorRecord {
  readonly smmu: string;
  /** GERROR bits. */
  readonly active: number;
}

/** A stream that two devices have. */
export interface AliasRecord {
  readonly smmu: string;
  readonly sid: number;
  /** Whose it is already. */
  readonly other: string;
}

const COMMAND_ERRORS = ['No error', 'Illegal command', 'Abort on command fetch', 'ATC invalidate timeout'];

/** A command error, and what is done about it (smmuv3.md 4.4, 7.1). */
export const smmuCommandError: TracePoint<CommandErrorRecord> = tracepoint('smmu_cmdq_error', (r) => {
  const { command } = r;
  const skipped =
    command === null ? '' : `: skipping command in error state: ${hex64(command, 0)} ${hex64(command, 2)}`;
  const retried = r.error === CERROR.ABT ? ': retrying command fetch' : '';
  const what = COMMAND_ERRORS[r.error] ?? 'Unknown';
  return `${r.smmu}: CMDQ error (cons ${hex(r.cons, 8)}): ${what}${skipped}${retried}`;
});

/** The text of a time-out, also of the error that is thrown (smmuv3.md 7.1). */
export function timeoutText({ sync, at, prod, cons }: CommandTimeoutRecord): string {
  return sync ? `CMD_SYNC timeout at ${hex(at, 8)} [hwprod ${hex(prod, 8)}, hwcons ${hex(cons, 8)}]` : 'CMDQ timeout';
}

/** A time-out of the command queue (smmuv3.md 7.1). */
export const smmuCommandTimeout: TracePoint<CommandTimeoutRecord> = tracepoint(
  'smmu_cmdq_timeout',
  (r) => `${r.smmu}: ${timeoutText(r)}`,
);

/** What the bits of GERROR mean, highest first, as they are logged (smmuv3.md 7.1). */
const GLOBAL_ERRORS: readonly (readonly [bit: number, text: string])[] = [
  [8, 'device has entered Service Failure Mode!'],
  [7, 'GERROR MSI write aborted'],
  [6, 'PRIQ MSI write aborted'],
  [5, 'EVTQ MSI write aborted'],
  [4, 'CMDQ MSI write aborted'],
  [3, 'PRIQ write aborted -- events may have been lost'],
  [2, 'EVTQ write aborted -- events may have been lost'],
];

/** Global errors (smmuv3.md 1.6, 7.1). */
export const smmuGlobalError: TracePoint<GlobalErrorRecord> = tracepoint('smmu_gerror', (r) => {
  const texts = GLOBAL_ERRORS.filter(([bit]) => (r.active & (1 << bit)) !== 0).map(([, text]) => `: ${text}`);
  const first = `unexpected global error reported (${hex(r.active, 8)}), this could be serious`;
  return `${r.smmu}: ${first}${texts.join('')}`;
});

/** Two devices have one stream: only the first one's transactions are translated (smmuv3.md 7.1). */
export const smmuAlias: TracePoint<AliasRecord> = tracepoint(
  'smmu_alias',
  (r) => `${r.smmu}: Aliasing StreamID ${hex(r.sid)} (from ${r.other}) unsupported, expect DMA to be broken`,
);
