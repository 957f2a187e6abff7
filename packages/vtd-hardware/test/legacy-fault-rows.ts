import type { Upstream } from '@iommukit/pci-ats';
import {
  after,
  type FaultRow,
  FRAME,
  HOLE,
  LEGACY,
  legacyContext,
  or,
  PAGE,
  read,
  top,
  translation,
  write,
} from './fault-setups.js';
import { SID } from './rig.js';

/** Legacy mode: what the root table, context entries and second-stage tables bring about (vtd.md 5.1). */
export const LEGACY_ROWS: readonly FaultRow[] = [
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
];
