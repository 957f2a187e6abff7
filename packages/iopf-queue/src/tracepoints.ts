import { type TracePoint, tracepoint } from '@iommukit/kernel';

/** A worker is through with a group, and is about to answer it. `pages`: its requests; `code`: RESPONSE. */
export const iopfGroup: TracePoint<{
  readonly dev: string;
  readonly pasid: number | null;
  readonly group: number;
  readonly pages: number;
  readonly code: number;
}> = tracepoint(
  'iopf_group',
  (r) => `dev=${r.dev} pasid=${r.pasid ?? 0} group=${r.group} pages=${r.pages} code=${r.code}`,
);

/** Requests of incomplete groups were dropped (IOPF-15). */
export const iopfDiscard: TracePoint<{ readonly dev: string; readonly pages: number }> = tracepoint(
  'iopf_discard',
  (r) => `dev=${r.dev} pages=${r.pages}`,
);

/** A worker's answer came after the group had been answered for it, and is not sent (IOPF-17, IOPF-19). */
export const iopfLate: TracePoint<{
  readonly dev: string;
  readonly pasid: number | null;
  readonly group: number;
  readonly code: number;
}> = tracepoint('iopf_late', (r) => `dev=${r.dev} pasid=${r.pasid ?? 0} group=${r.group} code=${r.code}`);
