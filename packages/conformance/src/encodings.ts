import type { ObserveCommands } from './candidate.js';

/** What drivers are asked for, each in a machine of its own; see {@link INTENTS} for the circumstances. */
export const INTENTS = {
  bind: 'the first process is bound: PASID 1',
  'invalidate-page': 'PASID 1: the page 0x12345f000 is unmapped',
  'invalidate-range': 'PASID 1: 18 pages from 0x12345f000 are unmapped',
  release: 'the process of PASID 1 dies: nothing of the PASID may be used any more',
  unbind: 'a live process is unbound from PASID 1',
  'answer-success': 'PASID 1, page request group 5: SUCCESS',
  'answer-invalid': 'PASID 1, page request group 5: INVALID',
  'answer-failure': 'PASID 1, page request group 5: FAILURE',
  'stall-retry': 'a stalled access of PASID 1 goes on',
  'stall-abort': 'a stalled access of PASID 1 is given up',
  'domain-unmap': 'the page 0x12345f000 is unmapped from the DMA domain of a PCI function',
} as const;

/** A key of {@link INTENTS}. The device is 00:03.0; for stalls, the platform device of stream 0x40. */
export type Intent = keyof typeof INTENTS;

/** An intent that a backend has no words for. */
export interface NotSupported {
  readonly notSupported: string;
}

/** Says why a backend has no words for an intent. */
export function NOT_SUPPORTED(reason: string): NotSupported {
  return { notSupported: reason };
}

/** The words of one backend for each intent. */
export interface Encodings {
  /** Watches the driver's queue in memory, or its registers. */
  readonly observe: ObserveCommands;
  /** Commands as literals: their 64-bit words in hexadecimal, lowest first, as in `12000000012 3000`. */
  readonly expected: Readonly<Record<Intent, readonly string[] | NotSupported>>;
}
