import type { Setting } from '@iommukit/kernel';
import type { Upstream } from '@iommukit/pci-ats';
import { type Rig, SID } from './rig.js';

/** The page of every request, and what it is mapped to. */
export const PAGE = 0x7f0000001;
const FRAME = 0x40100;
const HOLE = 0x1000_0000_000n;

const write: Upstream = {
  kind: 'write',
  at: 0,
  pasid: 5,
  page: PAGE,
  offset: 0,
  data: new Uint8Array(4),
  witness: 0,
};
const read: Upstream = { kind: 'read', at: 0, tag: 1, pasid: 5, page: PAGE, offset: 0, bytes: 4, witness: 0 };
const translation: Upstream = {
  kind: 'translation-request',
  tag: 1,
  pasid: 5,
  page: PAGE,
  count: 1,
  noWrite: false,
  exec: false,
  priv: false,
};
const pageRequest: Upstream = { kind: 'page-request', pasid: 5, prgi: 7, page: PAGE, perm: 1, last: true };
const plain = (tlp: Upstream): Upstream => ({ ...tlp, pasid: -1 }) as Upstream;

/** The set-up has been done: this is the request. */
const after = (_done: unknown, tlp: Upstream): Upstream => tlp;

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
function first(rig: Rig, qw0 = 0x49n, qw1 = 0x80_0001n, qw2 = 0n): { directory: number; root: number } {
  const directory = rig.context();
  const root = rig.pasid(directory, 5, qw0, qw1, rig.frames(0), qw2);
  rig.map(root, PAGE, FRAME);
  return { directory, root };
}

/** Scalable mode, PASID 5, second stage of 4 levels, DID 7. `or`: further bits of qw0. */
function second(rig: Rig, or = 0n, qw1 = 0x80_0007n): number {
  const directory = rig.context();
  const root = rig.frames(0);
  rig.store(rig.pasidAt(directory, 5), BigInt(root) | 0x89n | or, qw1);
  rig.mapSecond(root, PAGE, FRAME);
  return root;
}

/** The address of an entry of the first table. */
const top = (root: number): number => root + (Math.floor(PAGE / 2 ** 27) % 512) * 8;
/** Where the context entry lies, in scalable mode. */
const context = (rig: Rig): number => rig.contextAt(SID);
const or = (rig: Rig, at: number, bits: bigint): void => rig.store(at, rig.load(at) | bits);
const legacyContext = (rig: Rig): number => Number(rig.load(rig.root + 16) & ~0xfffn);

const SM = (reason: number, why: string, by: FaultRow['by'], setup: FaultRow['setup'], has = {}): FaultRow => ({
  reason,
  why,
  by,
  ttm: 1,
  has,
  setup,
});
const LEGACY = (reason: number, why: string, by: FaultRow['by'], setup: FaultRow['setup'], has = {}): FaultRow => ({
  reason,
  why,
  by,
  ttm: 0,
  has,
  setup: (rig) => plain(setup(rig)),
});

export const FAULT_ROWS: readonly FaultRow[] = [
  // ── legacy ─────────────────────────────────────────────────────────────────────────────────────────────────────
  LEGACY(0x01, 'root entry P=0', '', () => write),
  LEGACY(0x02, 'context entry P=0', 'c', (rig) => {
    rig.store(rig.root + 16, BigInt(rig.frames(0)) | 1n);
    return write;
  }),
  LEGACY(0x03, 'TT=3', 'c', (rig) => {
    rig.legacy(SID, 7, 3);
    return write;
  }),
  LEGACY(0x03, 'AW=3 without it in SAGAW', 'c', (rig) => {
    rig.legacy();
    rig.store(legacyContext(rig) + 8, 0x703n);
    return write;
  }),
  LEGACY(0x03, 'TT=1 without DT', 'c', (rig) => after(rig.legacy(), write), { dt: false }),
  LEGACY(0x03, 'TT=2 without PT', 'c', (rig) => after(rig.legacy(SID, 7, 2), write), { pt: false }),
  LEGACY(0x03, 'the first table cannot be read', 'c', (rig) => after(rig.legacy(SID, 7, 1, Number(HOLE)), write)),
  LEGACY(0x04, 'an address beyond AW', 'c', (rig) => {
    rig.legacy();
    return { ...write, page: 2 ** 36 } as Upstream;
  }),
  LEGACY(0x04, 'an address beyond MGAW', 'c', (rig) => after(rig.legacy(), write), { mgaw: 38 }),
  LEGACY(0x04, 'pass-through beyond HAW', 'c', (rig) => {
    rig.legacy(SID, 7, 2);
    return { ...write, page: 2 ** 36 } as Upstream;
  }),
  LEGACY(0x05, 'a write without W', 'c', (rig) => {
    rig.mapSecond(rig.legacy(), PAGE, FRAME, 1n);
    return write;
  }),
  LEGACY(0x05, 'a write where nothing is mapped', 'c', (rig) => after(rig.legacy(), write)),
  LEGACY(0x06, 'a read without R', 'c', (rig) => {
    rig.mapSecond(rig.legacy(), PAGE, FRAME, 2n);
    return read;
  }),
  LEGACY(0x06, 'a read where nothing is mapped', 'c', (rig) => after(rig.legacy(), read)),
  LEGACY(0x07, 'a lower table cannot be read', 'c', (rig) => {
    rig.store(top(rig.legacy()), HOLE | 3n);
    return write;
  }),
  LEGACY(0x08, 'the root table cannot be read', '', (rig) => {
    rig.write64(0x20, HOLE);
    return write;
  }),
  LEGACY(0x09, 'the context table cannot be read', '', (rig) => {
    rig.store(rig.root + 16, HOLE | 1n);
    return write;
  }),
  LEGACY(0x0a, 'reserved bits of the root entry', '', (rig) => {
    rig.legacy();
    or(rig, rig.root + 16, 0x800n);
    return write;
  }),
  LEGACY(0x0a, 'the second word of the root entry', '', (rig) => {
    rig.legacy();
    or(rig, rig.root + 24, 1n);
    return write;
  }),
  LEGACY(0x0b, 'reserved bits of the context entry', 'c', (rig) => {
    rig.legacy();
    or(rig, legacyContext(rig), 0x10n);
    return write;
  }),
  LEGACY(0x0b, 'a table beyond HAW', 'c', (rig) => {
    rig.legacy();
    or(rig, legacyContext(rig), 1n << 48n);
    return write;
  }),
  LEGACY(0x0c, 'SNP of a table', 'c', (rig) => {
    const root = rig.legacy();
    rig.mapSecond(root, PAGE, FRAME);
    or(rig, top(root), 0x800n);
    return write;
  }),
  LEGACY(0x0c, 'TM', 'c', (rig) => {
    rig.mapSecond(rig.legacy(), PAGE, FRAME, 3n | (1n << 62n));
    return write;
  }),
  LEGACY(0x0d, 'a translation request with TT=0', 'c', (rig) => after(rig.legacy(SID, 7, 0), translation)),
  LEGACY(0x0d, 'a translated request with TT=2', 'c', (rig) => {
    rig.legacy(SID, 7, 2);
    return { ...write, at: 2, page: FRAME } as Upstream;
  }),
  LEGACY(0x0e, 'a page in the interrupt range', 'c', (rig) => {
    rig.mapSecond(rig.legacy(), PAGE, 0xfee00);
    return write;
  }),
  // ── the root table's type ──────────────────────────────────────────────────────────────────────────────────────
  {
    reason: 0x30,
    why: 'TTM=1 without SMTS',
    by: '',
    ttm: 1,
    has: { smts: false },
    setup: (rig) => after(first(rig), write),
  },
  { reason: 0x30, why: 'TTM=2', by: '', ttm: 2, setup: (rig) => after(first(rig), write) },
  {
    reason: 0x30,
    why: 'TTM=3 without ADMS',
    by: '',
    ttm: 3,
    has: { adms: false },
    setup: (rig) => after(first(rig), write),
  },
  { reason: 0x31, why: 'a PASID in legacy mode', by: '', ttm: 0, setup: (rig) => after(rig.legacy(), write) },
  {
    reason: 0x32,
    why: 'a page request in legacy mode',
    by: '',
    ttm: 0,
    setup: (rig) => after(rig.legacy(), pageRequest),
  },
  { reason: 0x33, why: 'abort-DMA mode', by: '', ttm: 3, setup: (rig) => after(first(rig), write) },
  // ── root and context ───────────────────────────────────────────────────────────────────────────────────────────
  SM(0x38, 'the root table cannot be read', '', (rig) => {
    rig.write64(0x20, HOLE | 0x400n);
    return write;
  }),
  SM(0x39, 'the half of the root entry P=0', '', (rig) => {
    rig.store(rig.root + 24, BigInt(rig.frames(0)) | 1n);
    return write;
  }),
  SM(0x3a, 'reserved bits of the half of the root entry', '', (rig) => {
    first(rig);
    or(rig, rig.root + 16, 2n);
    return write;
  }),
  SM(0x40, 'the context table cannot be read', '', (rig) => {
    rig.store(rig.root + 16, HOLE | 1n);
    return write;
  }),
  SM(0x41, 'context entry P=0', 'c', (rig) => {
    rig.contextAt(SID);
    return write;
  }),
  SM(0x42, 'reserved bits of the context entry', 'c', (rig) => {
    first(rig);
    or(rig, context(rig), 0x20n);
    return write;
  }),
  SM(0x42, 'its third word', 'c', (rig) => {
    first(rig);
    or(rig, context(rig) + 16, 1n);
    return write;
  }),
  SM(0x42, 'DTE without DT', 'c', (rig) => after(first(rig), write), { dt: false }),
  SM(0x42, 'PASIDE without PASID', 'c', (rig) => after(first(rig), write), { pasid: false }),
  SM(0x42, 'PRE without PRS', 'c', (rig) => after(first(rig), write), { prs: false }),
  SM(0x43, 'RID_PASID beyond the directory', 'c', (rig) => {
    rig.context(SID, 0x1dn, 0, 0x2000n);
    return plain(write);
  }),
  SM(0x44, 'a translation request with DTE=0', 'c', (rig) => after(rig.context(SID, 0x19n), translation)),
  SM(0x44, 'a translated request with DTE=0', 'c', (rig) => {
    rig.context(SID, 0x19n);
    return { ...write, at: 2, page: FRAME } as Upstream;
  }),
  SM(0x45, 'PASIDE=0', 'c', (rig) => after(rig.context(SID, 0x15n), write)),
  SM(0x46, 'a PASID beyond the directory', 'c', (rig) => {
    rig.context(SID, 0x1dn, 0);
    return { ...write, pasid: 0x2000 } as Upstream;
  }),
  SM(
    0x46,
    'a PASID beyond PSS',
    'c',
    (rig) => {
      rig.context();
      return { ...write, pasid: 0x100 } as Upstream;
    },
    { pss: 7 },
  ),
  SM(0x47, 'a page request with PRE=0', 'c', (rig) => after(rig.context(SID, 0xdn), pageRequest)),
  SM(
    0x48,
    'RID_PASID without RPS',
    'c',
    (rig) => {
      rig.context(SID, 0x1dn, 2, 1n);
      return plain(write);
    },
    { rps: false },
  ),
  // ── PASID directory and table ──────────────────────────────────────────────────────────────────────────────────
  SM(0x50, 'the directory cannot be read', '', (rig) => {
    rig.store(context(rig), HOLE | 0x41dn);
    return write;
  }),
  SM(0x51, 'directory entry P=0', 'cd', (rig) => after(rig.context(), write)),
  SM(0x52, 'reserved bits of the directory entry', 'cd', (rig) => {
    or(rig, first(rig).directory, 4n);
    return write;
  }),
  SM(0x58, 'the PASID table cannot be read', '', (rig) => {
    rig.store(rig.context(), HOLE | 1n);
    return write;
  }),
  SM(0x59, 'PASID entry P=0', 'cdp', (rig) => {
    first(rig, 0x48n);
    return write;
  }),
  SM(0x5a, 'SLEE', 'cdp', (rig) => after(first(rig, 0x69n), write)),
  SM(0x5a, 'reserved bits of the third word', 'cdp', (rig) => after(first(rig, 0x49n, 0x80_0001n, 0x100n), write)),
  SM(0x5a, 'the fourth word', 'cdp', (rig) => {
    const { directory } = first(rig);
    rig.store(rig.pasidAt(directory, 5) + 24, 1n);
    return write;
  }),
  SM(0x5a, 'SLADE without SLADS', 'cdp', (rig) => after(second(rig, 0x200n), write)),
  SM(0x5a, 'PWSNP without SMPWCS', 'cdp', (rig) => after(first(rig), write), { smpwcs: false }),
  SM(0x5a, 'SRE without SRS', 'cdp', (rig) => after(first(rig, 0x49n, 0x80_0001n, 1n), write), { srs: false }),
  SM(0x5b, 'PGTT=0', 'cdp', (rig) => after(first(rig, 0x9n), write)),
  SM(0x5b, 'nested: there is none', 'cdp', (rig) => after(first(rig, 0xc9n), write)),
  SM(0x5b, 'first stage without FLTS', 'cdp', (rig) => after(first(rig), write), { flts: false }),
  SM(0x5b, 'second stage without SLTS', 'cdp', (rig) => after(second(rig), write), { slts: false }),
  SM(0x5b, 'pass-through without PT', 'cdp', (rig) => after(first(rig, 0x101n), write), { pt: false }),
  SM(0x5b, 'AW=3 without it in SAGAW', 'cdp', (rig) => after(second(rig, 4n), write)),
  SM(0x5b, '5 levels without FL5LP', 'cdp', (rig) => after(first(rig, 0x49n, 0x80_0001n, 4n), write)),
  SM(0x5b, 'FLPM=2', 'cdp', (rig) => after(first(rig, 0x49n, 0x80_0001n, 8n), write), { fl5lp: true }),
  SM(0x5d, 'a supervisor request with SRE=0', 'cdp', (rig) => after(first(rig), { ...translation, priv: true })),
  // ── first stage ────────────────────────────────────────────────────────────────────────────────────────────────
  SM(0x70, 'a lower table cannot be read', 'cdp', (rig) => {
    rig.store(top(first(rig).root), HOLE | 0x27n);
    return write;
  }),
  SM(0x71, 'not present', 'cdp', (rig) => {
    rig.pasid(rig.context(), 5);
    return read;
  }),
  SM(0x72, 'PS in the top table', 'cdp', (rig) => {
    or(rig, top(first(rig).root), 0x80n);
    return write;
  }),
  SM(0x72, 'an address beyond HAW', 'cdp', (rig) => {
    or(rig, top(first(rig).root), 1n << 48n);
    return write;
  }),
  SM(0x72, 'low bits of a 2 MiB page', 'cdp', (rig) => {
    const root = rig.pasid(rig.context(), 5);
    rig.map(root, PAGE, 0x40002, 0x87n, 2);
    return write;
  }),
  SM(
    0x72,
    'a 1 GiB page without FL1GP',
    'cdp',
    (rig) => {
      const root = rig.pasid(rig.context(), 5);
      rig.map(root, PAGE, 0x40000, 0x87n, 3);
      return write;
    },
    { fl1gp: false },
  ),
  SM(0x73, 'the first table cannot be read', 'cdp', (rig) => {
    rig.pasid(rig.context(), 5, 0x49n, 0x80_0001n, Number(HOLE));
    return write;
  }),
  SM(0x80, 'an address that is not canonical', 'cdp', (rig) => {
    first(rig);
    return { ...write, page: 2 ** 35 } as Upstream;
  }),
  SM(0x81, 'a user request to a supervisor page', 'cdp', (rig) => {
    rig.map(first(rig).root, PAGE, FRAME, 3n);
    return read;
  }),
  SM(0x85, 'a write to a page that is read-only', 'cdp', (rig) => {
    rig.map(first(rig).root, PAGE, FRAME, 5n);
    return write;
  }),
  SM(0x87, 'a page in the interrupt range', 'cdp', (rig) => {
    rig.map(first(rig).root, PAGE, 0xfeeff);
    return write;
  }),
  SM(0x90, 'A has to be set, and PWSNP=0', 'cdp', (rig) => after(first(rig, 0x49n, 1n), write)),
  // ── second stage, pass-through ─────────────────────────────────────────────────────────────────────────────────
  SM(0x78, 'a lower table cannot be read', 'cdp', (rig) => {
    rig.store(top(second(rig)), HOLE | 3n);
    return write;
  }),
  SM(0x79, 'neither R nor W', 'cdp', (rig) => {
    rig.mapSecond(second(rig), PAGE, FRAME, 4n);
    return read;
  }),
  SM(0x79, 'R above and W below', 'cdp', (rig) => {
    const root = second(rig);
    rig.mapSecond(root, PAGE, FRAME, 2n);
    rig.store(top(root), (rig.load(top(root)) & ~3n) | 1n);
    return read;
  }),
  SM(
    0x7a,
    'SNP without SC',
    'cdp',
    (rig) => {
      rig.mapSecond(second(rig), PAGE, FRAME, 0x803n);
      return write;
    },
    { sc: false },
  ),
  SM(
    0x7a,
    'a 2 MiB page without it in SLLPS',
    'cdp',
    (rig) => {
      rig.mapSecond(second(rig), PAGE + 512, 0x40000, 0x83n, 2);
      return { ...write, page: PAGE + 512 } as Upstream;
    },
    { sllps: 2 },
  ),
  SM(0x7b, 'the first table cannot be read', 'cdp', (rig) => {
    const directory = rig.context();
    rig.store(rig.pasidAt(directory, 5), HOLE | 0x89n, 0x80_0007n);
    return write;
  }),
  SM(0x7c, 'A has to be set, and PWSNP=0', 'cdp', (rig) => after(second(rig, 0x200n, 7n), write), { slads: true }),
  SM(0x83, 'pass-through beyond HAW', 'cdp', (rig) => {
    first(rig, 0x101n);
    return { ...write, page: 2 ** 36 } as Upstream;
  }),
  SM(0x84, 'an address beyond AW', 'cdp', (rig) => {
    second(rig);
    return { ...write, page: 2 ** 36 } as Upstream;
  }),
  SM(0x85, 'a write without W', 'cdp', (rig) => {
    rig.mapSecond(second(rig), PAGE, FRAME, 1n);
    return write;
  }),
  SM(0x86, 'a read without R', 'cdp', (rig) => {
    rig.mapSecond(second(rig), PAGE, FRAME, 2n);
    return read;
  }),
  SM(0x87, 'second stage into the interrupt range', 'cdp', (rig) => {
    rig.mapSecond(second(rig), PAGE, 0xfee00);
    return write;
  }),
];

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
