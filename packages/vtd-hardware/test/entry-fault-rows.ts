import type { Upstream } from '@iommukit/pci-ats';
import {
  after,
  context,
  type FaultRow,
  FRAME,
  first,
  HOLE,
  or,
  pageRequest,
  plain,
  SM,
  second,
  translation,
  write,
} from './fault-setups.js';
import { SID } from './rig.js';

/** The root table's type, and the entries of scalable mode on the way to a PASID (vtd.md 5.2). */
export const ENTRY_ROWS: readonly FaultRow[] = [
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
  SM(0x5d, 'a supervisor request with SRE=0', 'cdp', (rig) =>
    after(first(rig), { ...translation, priv: true } as Upstream),
  ),
];
