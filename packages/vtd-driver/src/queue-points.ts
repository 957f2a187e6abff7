import { tracepoint } from '@iommukit/kernel';
import { DESCRIPTOR } from '@iommukit/vtd-spec';
import { hex, hexWord } from './hex.js';

/** A descriptor that is submitted. */
export interface SubmitRecord {
  readonly unit: string;
  /** Its 64-bit words as pairs of 32-bit words; 128-bit descriptors end in zeros. */
  readonly words: Uint32Array;
}

/** The invalidation queue stopped, or gave up. */
export interface QueueErrorRecord {
  readonly unit: string;
  readonly error: 'IQE' | 'ITE' | 'ICE';
  /** IQEI of an IQE; the requester id otherwise. */
  readonly detail: number;
  /** With IQE: the descriptor at the head, and the one before it. */
  readonly head: Uint32Array | null;
  readonly prior: Uint32Array | null;
}

/** The hardware did not get to the end of what it was given. */
export interface QueueTimeoutRecord {
  readonly unit: string;
  /** True: a wait was not completed; false: no room came up. */
  readonly wait: boolean;
  /** Slots: of the wait, and the registers'. */
  readonly slot: number;
  readonly head: number;
  readonly tail: number;
}

/** How descriptors are called in traces (vtd.md 3). */
const SHORT: Readonly<Record<number, string>> = {
  [DESCRIPTOR.CONTEXT_CACHE]: 'cc_inv',
  [DESCRIPTOR.IOTLB]: 'iotlb_inv',
  [DESCRIPTOR.DEVICE_TLB]: 'dev_tlb_inv',
  [DESCRIPTOR.INTERRUPT_ENTRY]: 'iec_inv',
  [DESCRIPTOR.WAIT]: 'inv_wait',
  [DESCRIPTOR.PASID_IOTLB]: 'p_iotlb_inv',
  [DESCRIPTOR.PASID_CACHE]: 'pc_inv',
  [DESCRIPTOR.PASID_DEVICE_TLB]: 'p_dev_tlb_inv',
  [DESCRIPTOR.PAGE_GROUP_RESPONSE]: 'page_grp_resp',
};

/** How descriptors are called in logs (vtd.md 7.3). */
const LONG: Readonly<Record<number, string>> = {
  [DESCRIPTOR.CONTEXT_CACHE]: 'Context-cache Invalidation',
  [DESCRIPTOR.IOTLB]: 'IOTLB Invalidation',
  [DESCRIPTOR.DEVICE_TLB]: 'Device-TLB Invalidation',
  [DESCRIPTOR.INTERRUPT_ENTRY]: 'Interrupt Entry Cache Invalidation',
  [DESCRIPTOR.WAIT]: 'Invalidation Wait',
  [DESCRIPTOR.PASID_IOTLB]: 'PASID-based IOTLB Invalidation',
  [DESCRIPTOR.PASID_CACHE]: 'PASID-cache Invalidation',
  [DESCRIPTOR.PASID_DEVICE_TLB]: 'PASID-based Device-TLB Invalidation',
  [DESCRIPTOR.PAGE_GROUP_RESPONSE]: 'Page Group Response',
};

const typeOf = (words: Uint32Array): number => words[0]! & 0xf;

/** A descriptor goes to the queue (vtd.md 7.5); the wait behind a batch is not told. */
export const qiSubmit = tracepoint<SubmitRecord>('qi_submit', ({ unit, words }) => {
  const quads = [0, 2, 4, 6].map((at) => hexWord(words, at)).join(' ');
  return `${SHORT[typeOf(words)] ?? 'UNKNOWN'} ${unit}: ${quads}`;
});

const WHAT = {
  IQE: 'Invalidation Queue Error',
  ITE: 'Invalidation Time-out Error',
  ICE: 'Invalidation Completion Error',
};

/** The text of an error, with what was done about it (vtd.md 7.3). */
export const vtdQueueError = tracepoint<QueueErrorRecord>('vtd_queue_error', ({ error, detail, head, prior }) => {
  const what = `DMAR: VT-d detected ${WHAT[error]}: ${error === 'IQE' ? 'Reason' : 'SID'} ${detail.toString(16)}`;
  const at = (name: string, words: Uint32Array | null): string =>
    words === null
      ? ''
      : `; QI ${name}: ${LONG[typeOf(words)] ?? 'UNKNOWN'} qw0 = ${hexWord(words, 0)}, qw1 = ${hexWord(words, 2)}`;
  return `${what}${at('HEAD', head)}${at('PRIOR', prior)}; ${WHAT[error]} (${error}) cleared`;
});

/** The text of a time-out, also of the error that is thrown. */
export function timeoutText({ wait, slot, head, tail }: QueueTimeoutRecord): string {
  const what = wait ? `wait at slot ${slot} does not complete` : 'no room comes up in the invalidation queue';
  return `${what} [head ${head}, tail ${tail}]`;
}

/** A time-out of the invalidation queue. */
export const vtdQueueTimeout = tracepoint<QueueTimeoutRecord>(
  'vtd_queue_timeout',
  (r) => `DMAR: ${r.unit}: ${timeoutText(r)}`,
);

/** A requester that two devices have. */
export const vtdAlias = tracepoint<{ readonly unit: string; readonly rid: number; readonly other: string }>(
  'vtd_alias',
  (r) => `DMAR: ${r.unit}: requester ${hex(r.rid, 4)} belongs to ${r.other} already, expect DMA to be broken`,
);
