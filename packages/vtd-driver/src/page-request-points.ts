import { PERM } from '@iommukit/core';
import { type TracePoint, tracepoint } from '@iommukit/kernel';
import { hex, hexWord } from './hex.js';
import type { WrittenRequest } from './page-request-record.js';

/** A page request of a device that is known. */
export interface ReportRecord {
  readonly unit: string;
  readonly dev: string;
  readonly sequence: number;
  readonly request: WrittenRequest;
}

/** A page request is reported (vtd.md 7.5): `addr` is the page number, the flags are r w x p l. */
export const prqReport: TracePoint<ReportRecord> = tracepoint('prq_report', ({ unit, dev, sequence, request }) => {
  const { rid, page, pasid, group, echo } = request;
  const names = `rid=${hex(rid)} addr=${hex(page)} ${flagsOf(request)} pasid=${hex(pasid ?? 0)} index=${hex(group)}`;
  return `${unit}/${dev} seq# ${sequence}: ${names}${echo === null ? '' : privateText(echo)}`;
});

function flagsOf({ perm, last }: WrittenRequest): string {
  const flag = (letter: string, on: boolean): string => (on ? letter : '-');
  const asks = (right: number): boolean => (perm & right) !== 0;
  const rights = flag('r', asks(PERM.READ)) + flag('w', asks(PERM.WRITE)) + flag('x', asks(PERM.EXEC));
  return rights + flag('p', asks(PERM.PRIV)) + flag('l', last);
}

function privateText(echo: readonly number[]): string {
  const words = Uint32Array.of(echo[0] ?? 0, echo[1] ?? 0, echo[2] ?? 0, echo[3] ?? 0);
  return ` private=${hexWord(words, 0)}/${hexWord(words, 2)}`;
}

/** A page request that is refused before any mm is asked: why, and its first two words (vtd.md 7.4). */
export interface RefusedRecord {
  readonly unit: string;
  /** '' where nothing is said of it: the requester is unknown, or nobody handles its requests. */
  readonly reason: string;
  readonly words: Uint32Array;
}

/** The text about a page request that is refused (vtd.md 7.4). */
export const vtdPageRequest: TracePoint<RefusedRecord> = tracepoint('vtd_page_request', ({ unit, reason, words }) => {
  const why = reason === '' ? '' : `IOMMU: ${unit}: ${reason}; `;
  return `${why}${unit}: Invalid page request: ${padded(words, 0)} ${padded(words, 2)}`;
});

function padded(words: Uint32Array, at: number): string {
  return hexWord(words, at).slice(2).padStart(8, '0');
}

/** The page request queue lost requests; `cleared`: nothing of their groups is left, and the queue takes requests again. */
export const vtdPrqOverflow: TracePoint<{ readonly unit: string; readonly cleared: boolean }> = tracepoint(
  'vtd_prq_overflow',
  ({ unit, cleared }) => `IOMMU: ${unit}: PRQ overflow ${cleared ? 'cleared' : 'detected'}`,
);
