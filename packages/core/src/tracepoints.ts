import { type TracePoint, tracepoint } from '@iommukit/kernel';

/** A page request was accepted and reported (sva-core.md 8). `pasid` is null without one. */
export interface DevFaultRecord {
  readonly dev: string;
  /** 2: a page request. */
  readonly type: number;
  /** 0 for page requests. */
  readonly reason: number;
  readonly addr: bigint;
  readonly pasid: number | null;
  readonly group: number;
  /** 1 PASID valid, 2 last page, 4 private data. */
  readonly flags: number;
  /** PERM bits. */
  readonly prot: number;
}

/** Emitted for every backend when a fault is accepted. */
export const devFault: TracePoint<DevFaultRecord> = tracepoint(
  'dev_fault',
  (r) =>
    `IOMMU:${r.dev} type=${r.type} reason=${r.reason} addr=0x${r.addr.toString(16).padStart(16, '0')} ` +
    `pasid=${r.pasid ?? 0} group=${r.group} flags=${r.flags.toString(16)} prot=${r.prot}`,
);

/** The answer to a group, about to be sent (sva-core.md 8). */
export interface DevPageResponseRecord {
  readonly dev: string;
  readonly code: number;
  readonly pasid: number | null;
  readonly group: number;
}

/** Emitted for every backend when a group's answer is sent. */
export const devPageResponse: TracePoint<DevPageResponseRecord> = tracepoint(
  'dev_page_response',
  (r) => `IOMMU:${r.dev} code=${r.code} pasid=${r.pasid ?? 0} group=${r.group}`,
);

/** A group was not answered in time: it is answered INVALID, and what its handler answers later is refused (IOPF-19). */
export const faultTimeout: TracePoint<{
  readonly dev: string;
  readonly pasid: number | null;
  readonly group: number;
  /** The limit, in seconds. */
  readonly seconds: number;
}> = tracepoint(
  'fault_timeout',
  (r) => `IOMMU:${r.dev} pasid=${r.pasid ?? 0} group=${r.group}: not answered within ${r.seconds} s`,
);

/** A range of an address space: bytes [start, end). */
export interface MmRangeRecord {
  /** The address space: `mm:1`. */
  readonly space: string;
  readonly start: bigint;
  readonly end: bigint;
}

/** A mapping was made. `prot`: PERM bits; `file`: the mapped file's name, or null. */
export const mmMmap: TracePoint<MmRangeRecord & { readonly prot: number; readonly file: string | null }> = tracepoint(
  'mm_mmap',
  (r) => `${range(r)} prot=${r.prot} file=${r.file ?? 'none'}`,
);

/** A range is about to be unmapped. */
export const mmMunmap: TracePoint<MmRangeRecord> = tracepoint('mm_munmap', range);

/** A mapping got another address. */
export const mmMremap: TracePoint<MmRangeRecord & { readonly to: bigint }> = tracepoint(
  'mm_mremap',
  (r) => `${range(r)} to=0x${r.to.toString(16)}`,
);

/** A process has a child, whose address space is a copy of its own. */
export const mmFork: TracePoint<{ readonly space: string; readonly child: string }> = tracepoint(
  'mm_fork',
  (r) => `mm=${r.space} child=${r.child}`,
);

/** The last user of an address space let go: its teardown begins, in this task (MM-2, MM-8). */
export const mmExitMmap: TracePoint<{ readonly space: string }> = tracepoint('mm_exit_mmap', (r) => `mm=${r.space}`);

/** The last reference to an address space's record is gone (MM-3). */
export const mmFree: TracePoint<{ readonly space: string }> = tracepoint('mm_free', (r) => `mm=${r.space}`);

/** A page fault was handled. `result`: FAULT_RESULT bits, 0 for a minor fault. */
export const handleMmFault: TracePoint<{
  readonly space: string;
  readonly addr: bigint;
  readonly write: boolean;
  readonly result: number;
}> = tracepoint(
  'handle_mm_fault',
  (r) => `mm=${r.space} addr=0x${r.addr.toString(16)} write=${r.write ? 1 : 0} result=${r.result.toString(16)}`,
);

/** A new generation of ASIDs began (ASID-6). `pinned`: numbers that stay what they are. */
export const asidRollover: TracePoint<{ readonly generation: number; readonly pinned: number }> = tracepoint(
  'asid_rollover',
  (r) => `generation=${r.generation} pinned=${r.pinned}`,
);

/** A process began to exit. */
export const processExit: TracePoint<{ readonly comm: string }> = tracepoint('process_exit', (r) => `comm=${r.comm}`);

/** A process has a new address space (MM-11). */
export const processExec: TracePoint<{ readonly comm: string; readonly space: string }> = tracepoint(
  'process_exec',
  (r) => `comm=${r.comm} mm=${r.space}`,
);

/** The last reference to a file is gone: its release begins, in this task (MM-15). */
export const fileRelease: TracePoint<{ readonly file: string }> = tracepoint('file_release', (r) => `file=${r.file}`);

function range(r: MmRangeRecord): string {
  return `mm=${r.space} start=0x${r.start.toString(16)} end=0x${r.end.toString(16)}`;
}
