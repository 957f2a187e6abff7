import type { Setting } from '@iommukit/kernel';
import type { Upstream } from '@iommukit/pci-ats';
import { type Rig, SID } from './rig.js';

/** The page of every request, and what it is mapped to. */
export const PAGE = 0x7f0000001;
export const FRAME = 0x40100;
/** Where there is no memory. */
export const HOLE = 0x1000_0000_000n;

/** The requests: PASID 5 writes, reads, asks for a translation and for a page. */
export const write: Upstream = {
  kind: 'write',
  at: 0,
  pasid: 5,
  page: PAGE,
  offset: 0,
  data: new Uint8Array(4),
  witness: 0,
};
export const read: Upstream = { kind: 'read', at: 0, tag: 1, pasid: 5, page: PAGE, offset: 0, bytes: 4, witness: 0 };
export const translation: Upstream = {
  kind: 'translation-request',
  tag: 1,
  pasid: 5,
  page: PAGE,
  count: 1,
  noWrite: false,
  exec: false,
  priv: false,
};
export const pageRequest: Upstream = { kind: 'page-request', pasid: 5, prgi: 7, page: PAGE, perm: 1, last: true };
/** The same request without PASID. */
export const plain = (tlp: Upstream): Upstream => ({ ...tlp, pasid: -1 }) as Upstream;

/** The set-up has been done: this is the request. */
export const after = (_done: unknown, tlp: Upstream): Upstream => tlp;

/** One way to provoke a fault reason of vtd.md 5.1 and 5.2. */
export interface FaultRow {
  readonly reason: number;
  readonly why: string;
  /** Whose FPD suppresses the record: c context, d directory, p PASID entry. */
  readonly by: '' | 'c' | 'cd' | 'cdp';
  /** Which of these entries are read on the way: all that `by` names, and those whose FPD must not count. */
  readonly ttm: number;
  readonly has?: Record<string, Setting>;
  readonly setup: (rig: Rig) => Upstream;
}

/** Scalable mode, PASID 5, first stage: a page that may be read and written. */
export function first(rig: Rig, qw0 = 0x49n, qw1 = 0x80_0001n, qw2 = 0n): { directory: number; root: number } {
  const directory = rig.context();
  const root = rig.pasid(directory, 5, qw0, qw1, rig.frames(0), qw2);
  rig.map(root, PAGE, FRAME);
  return { directory, root };
}

/** Scalable mode, PASID 5, second stage of 4 levels, DID 7. `or`: further bits of qw0. */
export function second(rig: Rig, or = 0n, qw1 = 0x80_0007n): number {
  const directory = rig.context();
  const root = rig.frames(0);
  rig.store(rig.pasidAt(directory, 5), BigInt(root) | 0x89n | or, qw1);
  rig.mapSecond(root, PAGE, FRAME);
  return root;
}

/** The address of an entry of the first table. */
export const top = (root: number): number => root + (Math.floor(PAGE / 2 ** 27) % 512) * 8;
/** Where the context entry lies, in scalable mode. */
export const context = (rig: Rig): number => rig.contextAt(SID);
/** Sets bits of a word in memory. */
export const or = (rig: Rig, at: number, bits: bigint): void => rig.store(at, rig.load(at) | bits);
/** Where the context table is, in legacy mode. */
export const legacyContext = (rig: Rig): number => Number(rig.load(rig.root + 16) & ~0xfffn);

/** A row of scalable mode. */
export const SM = (reason: number, why: string, by: FaultRow['by'], setup: FaultRow['setup'], has = {}): FaultRow => ({
  reason,
  why,
  by,
  ttm: 1,
  has,
  setup,
});
/** A row of legacy mode: its request has no PASID. */
export const LEGACY = (
  reason: number,
  why: string,
  by: FaultRow['by'],
  setup: FaultRow['setup'],
  has = {},
): FaultRow => ({
  reason,
  why,
  by,
  ttm: 0,
  has,
  setup: (rig) => plain(setup(rig)),
});

/** Sets FPD in one of the entries on the way, whether it is present or not. */
export function setFpd(rig: Rig, ttm: number, holder: 'c' | 'd' | 'p'): void {
  if (ttm === 0) return or(rig, legacyContext(rig), 2n);
  const at = context(rig);
  const entry = rig.load(at);
  const directory = Number(entry & 0xffff_ffff_f000n);
  if (holder === 'c') return or(rig, at, 2n);
  if (holder === 'd') return or(rig, directory, 2n);
  const table = Number(rig.load(directory) & 0xffff_ffff_f000n);
  or(rig, table + 5 * 64, 2n);
}
