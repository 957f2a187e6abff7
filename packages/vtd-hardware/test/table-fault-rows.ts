import type { Upstream } from '@iommukit/pci-ats';
import { after, type FaultRow, FRAME, first, HOLE, or, PAGE, read, SM, second, top, write } from './fault-setups.js';

/** Page tables of scalable mode, and pass-through (vtd.md 5.2). */
export const TABLE_ROWS: readonly FaultRow[] = [
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
