import { type TracePoint, tracepoint } from '@iommukit/kernel';
import { FAULT_REASONS } from '@iommukit/vtd-spec';
import { hex } from './hex.js';

/** The fault thread begins: FSTS as it was read. */
export interface FaultStatusRecord {
  readonly unit: string;
  readonly status: number;
}

/** One fault record. */
export interface FaultRecord {
  readonly unit: string;
  readonly read: boolean;
  /** Requester id. */
  readonly sid: number;
  /** Null without one. */
  readonly pasid: number | null;
  /** The page's address; of an interrupt fault its index. */
  readonly address: bigint;
  readonly reason: number;
}

/** Reasons of scalable mode begin here. */
const SCALABLE = 0x30;

/** Interrupt faults have no address, but an index. */
export function isInterruptFault(reason: number): boolean {
  return reason >= 0x20 && reason < 0x2a;
}

/** What the fault thread is about to work on (vtd.md 7.2). */
export const vtdFaultStatus: TracePoint<FaultStatusRecord> = tracepoint(
  'vtd_fault_status',
  (r) => `DMAR: DRHD: handling fault status reg ${r.status.toString(16)}`,
);

/** A fault that nobody can do anything about (vtd.md 7.2). */
export const vtdFault: TracePoint<FaultRecord> = tracepoint('vtd_fault', (r) => {
  const device = `Request device [${bdf(r.sid)}]`;
  const why = `[fault reason ${hex(r.reason, 2)}] ${meaningOf(r.reason)}`;
  const at = `0x${r.address.toString(16)}`;
  if (isInterruptFault(r.reason)) return `DMAR: [INTR-REMAP] ${device} fault index ${at} ${why}`;
  const pasid = r.pasid === null ? 'NO_PASID' : `PASID ${hex(r.pasid)}`;
  return `DMAR: [DMA ${r.read ? 'Read' : 'Write'} ${pasid}] ${device} fault addr ${at} ${why}`;
});

function meaningOf(reason: number): string {
  const known = FAULT_REASONS.get(reason);
  return known === undefined ? 'Unknown' : `${reason >= SCALABLE ? 'SM: ' : ''}${known.meaning}`;
}

/** `01:02.3`. */
export function bdf(sid: number): string {
  const digits = (value: number): string => value.toString(16).padStart(2, '0');
  return `${digits(sid >>> 8)}:${digits((sid >>> 3) & 0x1f)}.${sid & 7}`;
}
