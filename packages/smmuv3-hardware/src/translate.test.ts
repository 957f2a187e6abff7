import { describe, expect, it } from 'vitest';
import { BASE, Rig } from '../test/rig.js';

const PAGE = 0x7f1234567;
const READ = 1;
const WRITE = 2;
const EXEC = 4;
const PRIVILEGED = 8;

/** SID 0x42, PASID 5, ASID 0x12 with the given bits of CD dw0. */
function rigged(or = 0n, without = 0n, capabilities = {}) {
  const rig = new Rig(capabilities).enable();
  const table = rig.cdTable(0x42, 6);
  const root = rig.cd(table, 5, Rig.cd0(0x12, or, without));
  return { rig, table, root };
}

describe('Translator', () => {
  it('translates a page of a PASID through STE, CD and four levels', () => {
    const { rig, root } = rigged();
    rig.map(root, PAGE, 0x40123);
    const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
    expect(rig.smmu.translate(0x42, 5, PAGE, READ | WRITE, out)).toBe(true);
    expect(out).toEqual({ frame: 0x40123, perm: 7, log2Size: 12, reason: 0, level: 3 });
    expect(rig.smmu.translate(0x42, 5, PAGE + 1, READ, out)).toBe(false);
    expect(out).toEqual({ frame: 0, perm: 0, log2Size: 0, reason: 0x10, level: 3 });
  });

  it.each([
    ['invalid', 0n, 0xc43n],
    ['beyond the output size', 0x1_0000_0c43n, 0xc43n],
    ['not accessed', 0x40100843n, 0xc43n],
  ])('does not cache a descriptor that is %s: no invalidation is needed after it (3.4)', (_name, before, after) => {
    const { rig, root } = rigged(0n, 0x7_0000_0000n); // IPS = 32 bits
    rig.map(root, PAGE, 0, before);
    expect(rig.translate(0x42, 5, PAGE)).toMatch(/event/);
    rig.map(root, PAGE, 0x40200, after);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40200);
  });

  it('caches a page without the right to write, and faults on it until it is invalidated (3.4, SMMU-20)', () => {
    const { rig, root } = rigged();
    rig.map(root, PAGE, 0x40100, 0xcc3n);
    expect(rig.translate(0x42, 5, PAGE, WRITE)).toBe('event 0x13');
    rig.map(root, PAGE, 0x40100);
    expect(rig.translate(0x42, 5, PAGE, WRITE)).toBe('event 0x13');
    expect(rig.translate(0x42, 5, PAGE, READ)).toBe(0x40100);
    rig.command(0x0012000000000012n, BigInt(PAGE) << 12n);
    expect(rig.translate(0x42, 5, PAGE, WRITE)).toBe(0x40100);
  });

  it('looks a missing right up in memory again where rights are not cached (cacheReadOnly off, SMMU-20)', () => {
    for (const gait of ['atomic', 'stepwise']) {
      const { rig, root } = rigged(0n, 0n, { cacheReadOnly: false, gait });
      rig.map(root, PAGE, 0x40100, 0xcc3n);
      expect(rig.translate(0x42, 5, PAGE, READ)).toBe(0x40100);
      expect(rig.translate(0x42, 5, PAGE, WRITE)).toBe('event 0x13');
      rig.map(root, PAGE, 0x40100);
      expect(rig.translate(0x42, 5, PAGE, WRITE)).toBe(0x40100);
      // A right that is cached is used, invalidation or not.
      rig.map(root, PAGE, 0x40100, 0xcc3n);
      expect(rig.translate(0x42, 5, PAGE, WRITE)).toBe(0x40100);
    }
  });

  it('finds a page and blocks of 2 MiB and 1 GiB, and tells their size and level', () => {
    const { rig, root } = rigged();
    rig.map(root, 0x200, 0x40200, 0xc41n, 2);
    rig.map(root, 0x80000, 0x80000, 0xc41n, 1);
    const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
    for (let round = 0; round < 2; round++) {
      expect(rig.smmu.translate(0x42, 5, 0x3ff, READ, out)).toBe(true);
      expect(out).toMatchObject({ frame: 0x403ff, log2Size: 21, level: 2 });
      expect(rig.smmu.translate(0x42, 5, 0xbffff, READ, out)).toBe(true);
      expect(out).toMatchObject({ frame: 0xbffff, log2Size: 30, level: 1 });
    }
  });

  it.each([
    // AP[2:1] in bits 7:6; rights of unprivileged, then of privileged requests (3.2)
    ['privileged RW', 0xc03n, 0n, 0, READ | WRITE | EXEC],
    ['RW', 0xc43n, 0n, READ | WRITE | EXEC, READ | WRITE],
    ['privileged RO', 0xc83n, 0n, 0, READ | EXEC],
    ['RO', 0xcc3n, 0n, READ | EXEC, READ | EXEC],
    ['RO, UXN', 0xcc3n, 1n << 54n, READ, READ | EXEC],
    ['RO, PXN', 0xcc3n, 1n << 53n, READ | EXEC, READ],
  ])('gives the rights of %s', (_name, low, high, user, privileged) => {
    const { rig, root } = rigged();
    rig.map(root, PAGE, 0x40100, low | high);
    const granted = (mode: number): number =>
      [READ, WRITE, EXEC]
        .filter((right) => rig.translate(0x42, 5, PAGE, right | mode) === 0x40100)
        .reduce((a, b) => a | b, 0);
    // Unprivileged execution does not need AP[1].
    expect(granted(0)).toBe(_name.startsWith('privileged') ? EXEC : user);
    expect(granted(PRIVILEGED)).toBe(privileged);
  });

  it('lets tables take rights away: APTable, UXNTable, PXNTable, unless HAD0 (3.2)', () => {
    const { rig, root, table } = rigged();
    rig.map(root, PAGE, 0x40100);
    const top = root + Math.floor(PAGE / 512 ** 3) * 8;
    rig.store(top, rig.load(top) | (2n << 61n) | (1n << 60n));
    expect([READ, WRITE, EXEC].map((want) => rig.translate(0x42, 5, PAGE, want))).toEqual([
      0x40100,
      'event 0x13',
      'event 0x13',
    ]);
    rig.cd(table, 6, Rig.cd0(0x13), root);
    rig.store(table + 6 * 64 + 8, BigInt(root) | 2n);
    expect([READ, WRITE, EXEC].map((want) => rig.translate(0x42, 6, PAGE, want))).toEqual([0x40100, 0x40100, 0x40100]);
  });

  it('applies WXN and PAN', () => {
    const { rig, root, table } = rigged(1n << 36n); // WXN
    rig.map(root, PAGE, 0x40100);
    expect(rig.translate(0x42, 5, PAGE, EXEC)).toBe('event 0x13');
    rig.cd(table, 6, Rig.cd0(0x13, 1n << 40n), root); // PAN
    expect(rig.translate(0x42, 6, PAGE, READ | PRIVILEGED)).toBe('event 0x13');
    expect(rig.translate(0x42, 6, PAGE, READ)).toBe(0x40100);
  });

  it.each([
    [16n, 2 ** 36 - 1, 2 ** 36],
    [25n, 2 ** 27 - 1, 2 ** 27],
    [30n, 2 ** 22 - 1, 2 ** 22],
    [39n, 2 ** 13 - 1, 2 ** 13],
  ])('accepts addresses of 64 - T0SZ bits with T0SZ = %d, and no larger one (3.3)', (t0sz, last, beyond) => {
    const { rig, root, table } = rigged(t0sz, 0x3fn);
    // The table begins at the level where 9 bits a level suffice.
    const start = 4 - Math.ceil((Number(64n - t0sz) - 12) / 9);
    rig.store(table + 5 * 64 + 8, BigInt(root) | (0x100n * (start === 0 ? 0n : 1n)));
    let at = root;
    for (let level = start; level < 3; level++) {
      const next = rig.frames(0);
      const entries = level === start ? 2 ** (Number(64n - t0sz) - 12 - 9 * (3 - start)) : 512;
      // A first table of less than a frame is aligned to its size.
      const base = level === start && start !== 0 ? at + 0x100 - (0x100 % (entries * 8)) : at;
      rig.store(base + (Math.floor(last / 512 ** (3 - level)) % entries) * 8, BigInt(next) | 3n);
      at = next;
    }
    rig.store(at + (last % 512) * 8, 0x40123c43n);
    expect(rig.translate(0x42, 5, last)).toBe(0x40123);
    expect(rig.translate(0x42, 5, beyond)).toBe('event 0x10');
  });

  it('walks TTB1 for the upper half, and keeps the halves apart in the TLB', () => {
    const { rig, root, table } = rigged();
    const upper = rig.frames(0);
    // EPD1=0, T1SZ=16, TG1=2 (4K).
    rig.store(table + 6 * 64 + 16, BigInt(upper));
    rig.cd(table, 6, Rig.cd0(0x13, (16n << 16n) | (2n << 22n), 1n << 30n), root);
    const last = 2 ** 36 - 1;
    rig.map(root, last, 0x40100);
    rig.map(upper, last, 0x40200);
    for (let round = 0; round < 2; round++) {
      expect(rig.translate(0x42, 6, last)).toBe(0x40100);
      expect(rig.translate(0x42, 6, 2 ** 52 - 1)).toBe(0x40200);
      expect(rig.translate(0x42, 6, 2 ** 52 - 2 ** 36 - 1)).toBe('event 0x10');
      expect(rig.translate(0x42, 5, 2 ** 52 - 1)).toBe('event 0x10');
    }
    rig.map(upper, last, 0x40300);
    rig.command(0x0013000000000012n, 0xfffffffffffff001n);
    expect(rig.translate(0x42, 6, 2 ** 52 - 1)).toBe(0x40300);
  });

  it('ignores the top byte with TBI0', () => {
    const { rig, root, table } = rigged();
    rig.map(root, PAGE, 0x40100);
    const tagged = 0xab * 2 ** 44 + PAGE;
    expect(rig.translate(0x42, 5, tagged)).toBe('event 0x10');
    rig.cd(table, 6, Rig.cd0(0x13, 1n << 38n), root);
    expect(rig.translate(0x42, 6, tagged)).toBe(0x40100);
    expect(rig.translate(0x42, 6, PAGE)).toBe(0x40100);
  });

  it('bypasses and limits what is not translated (3.3)', () => {
    const { rig } = rigged(0n, 0n, { oas: 40 });
    rig.ste(0x50, 0x9n);
    expect(rig.translate(0x50, -1, 2 ** 28 - 1)).toBe(2 ** 28 - 1);
    expect(rig.translate(0x50, -1, 2 ** 28)).toBe('event 0x11');
    expect(rig.translate(0x50, 0, 1)).toBe('event 0x8');
    rig.write(0x20, 0);
    expect(rig.translate(0x999, 7, 5)).toBe(5);
    rig.write(0x44, 0x80101000);
    expect(rig.translate(0x999, 7, 5)).toBe('event 0x0');
  });

  it('never throws for what a device may make up', () => {
    const { rig } = rigged();
    const outcomes = [
      [-1, 5],
      [2 ** 32, 5],
      [0x42, -7],
      [0x42, 2 ** 20],
      [0x42, 2 ** 40],
      [0x42, 5],
    ].map(([stream, ssid]) => [0, -5, 2 ** 52, 2 ** 60, Number.NaN].map((page) => rig.translate(stream, ssid, page)));
    expect(new Set(outcomes.flat())).toEqual(new Set(['event 0x2', 'event 0x8', 'event 0x10']));
  });
});

describe('Iotlb', () => {
  it('replaces lines when a set is full, and forgets none that it dropped', () => {
    const { rig, root } = rigged(0n, 0n, { iotlbEntries: 16 });
    for (let n = 0; n < 64; n++) rig.map(root, n, 0x40100 + n);
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 64; n++) expect(rig.translate(0x42, 5, n)).toBe(0x40100 + n);
    }
    for (let n = 0; n < 64; n++) rig.map(root, n, 0x40200 + n);
    rig.command(0x0012000000000011n, 0n);
    for (let n = 0; n < 64; n++) expect(rig.translate(0x42, 5, n)).toBe(0x40200 + n);
  });

  it('fills lines with what oracles need', () => {
    const { rig, root } = rigged();
    rig.map(root, 0x200, 0x40200, 0xc41n, 2);
    rig.kernel.steps = 7;
    rig.translate(0x42, 5, 0x2ff);
    const { lines } = rig.smmu.iotlb;
    const i = lines.tag.findIndex((tag) => tag !== -1);
    expect([lines.page[i], lines.frame[i], lines.order[i], lines.pasid[i], lines.stream[i], lines.born[i]]).toEqual([
      0x200, 0x40200, 9, 5, 0x42, 7,
    ]);
    expect(lines.flags[i] & 7).toBe(7);
  });

  it('is restored with the machine: lines, configuration and registers', () => {
    const { rig, root, table } = rigged();
    rig.map(root, 1, 0x40101);
    rig.map(root, 2, 0x40102);
    rig.translate(0x42, 5, 1);
    rig.settle();
    const checkpoint = rig.kernel.checkpoints.take();
    const before = [...rig.smmu.iotlb.tags];
    for (let round = 0; round < 2; round++) {
      rig.smmu.iotlb.lines.flags.fill(0x80);
      rig.translate(0x42, 5, 2);
      rig.command(0x0012000000000012n, 0x1001n, 0x04n, 0x1fn);
      rig.cd(table, 6, Rig.cd0(0x13), root);
      rig.translate(0x42, 6, 2);
      rig.prod = 0;
      checkpoint.restore();
      expect([...rig.smmu.iotlb.tags]).toEqual(before);
      expect(rig.smmu.iotlb.lines.flags[before.findIndex((tag) => tag !== -1)]).toBe(0x1f);
      expect(rig.read(0x9c)).toBe(0);
      expect(rig.bus.load32(BASE + 0x98)).toBe(0);
      // The CD that was cached at the checkpoint is, again: what lies in memory does not count.
      rig.store(table + 5 * 64, 0n);
      expect(rig.translate(0x42, 5, 1)).toBe(0x40101);
    }
  });
});
