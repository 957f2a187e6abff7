import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';

/** Golden vectors of vtd.md 9.1, and what the sheet says of reserved bits (3.1 to 3.9): qw0 and qw1. */
const ALL = 2n ** 64n - 1n;
const GOLDEN: readonly [string, bigint, bigint, bigint, bigint][] = [
  ['context-cache', 0x0000010000000031n, 0n, 0xfffc00000000f1c0n, ALL],
  ['IOTLB domain', 0x00000000000700e2n, 0n, 0xffffffff0000f100n, 0xf80n],
  ['IOTLB page', 0x00000000000700f2n, 0x0000000040000009n, 0xffffffff0000f100n, 0xf80n],
  ['device-TLB', 0x0000010000000003n, 0x7ffffffffffff001n, 0xffff0000ffe0f1f0n, 0xffen],
  ['wait', 0x0000000200000005n, 0n, 0xfffff100n, 3n],
  ['PASID IOTLB PASID', 0x0000000500010026n, 0n, 0xfff000000000f1c0n, 0xf80n],
  ['PASID IOTLB page', 0x0000000500010036n, 0x00007f0000004002n, 0xfff000000000f1c0n, 0xf80n],
  ['PASID-cache', 0x0000000500010017n, 0n, 0xfff000000000f1c0n, ALL],
  ['PASID device-TLB', 0x0000000501000008n, 0x7ffffffffffff800n, 0xfff000000000f000n, 0x7fen],
  ['page group response', 0x0000000501000019n, 0x0000000000000038n, 0xfff00000000001e0n, 0xfffffffffffff003n],
];
const bitsOf = (mask: bigint) =>
  Array.from({ length: 64 }, (_, n) => 1n << BigInt(n)).filter((bit) => (mask & bit) !== 0n);

describe('InvalidationQueue', () => {
  it.each(GOLDEN)(
    'takes the %s descriptor, and stops with IQEI 4 at each of its reserved bits',
    (_name, qw0, qw1, r0, r1) => {
      const rig = new Rig({ devTlbTimeoutNs: 1e15 }).enable();
      rig.frozen = true;
      rig.link();
      expect(rig.verdict(qw0, qw1)).toBe(-1);
      for (const bit of bitsOf(r0)) expect(rig.verdict(qw0 | bit, qw1), `qw0 ${bit.toString(16)}`).toBe(4);
      for (const bit of bitsOf(r1)) expect(rig.verdict(qw0, qw1 | bit), `qw1 ${bit.toString(16)}`).toBe(4);
      for (const word of [2, 3]) {
        for (const bit of [1n, 1n << 63n]) {
          const words = [qw0, qw1, 0n, 0n];
          words[word] = bit;
          expect(rig.verdict(...words), `qw${word}`).toBe(4);
        }
      }
    },
  );

  it('stops with IQEI 3 at types that do not exist, that the mode lacks, and that the unit lacks', () => {
    const rig = new Rig().enable();
    for (const type of [0n, 0xan, 0xfn, 0x201n, 0x405n, 0x805n]) expect(rig.verdict(type)).toBe(3);
    // No interrupt remapping: interrupt entry cache.
    expect(rig.verdict(4n)).toBe(3);
    const poor = new Rig({ dt: false, prs: false }).enable();
    for (const type of [3n, 8n, 9n]) expect(poor.verdict(type)).toBe(3);
    const legacy = new Rig().enable(0);
    for (const type of [6n, 7n, 8n, 9n]) expect(legacy.verdict(type)).toBe(3);
    expect(legacy.verdict(0x31n)).toBe(-1);
  });

  it('stops with IQEI 4 at granularities that do not exist, and at what CAP.PSI and CAP.MAMV do not allow (VTD-22)', () => {
    const rig = new Rig().enable();
    // Context-cache and IOTLB G=0; PASID IOTLB G=0 and 1; PASID-cache G=2.
    for (const qw0 of [1n, 2n, 6n, 0x16n, 0x27n]) expect(rig.verdict(qw0), qw0.toString(16)).toBe(4);
    expect(rig.verdict(0x700f2n, 18n)).toBe(-1);
    expect(rig.verdict(0x700f2n, 19n)).toBe(4);
    // AM of type 6 is not limited.
    expect(rig.verdict(0x0000000500010036n, 63n)).toBe(-1);
    const plain = new Rig({ psi: false }).enable();
    expect(plain.verdict(0x700f2n)).toBe(4);
    expect(plain.verdict(0x700e2n)).toBe(-1);
    expect(plain.verdict(0x0000000500010036n, 2n)).toBe(-1);
  });

  it('lets PFSID through only with ECAP.DIT, and PD only with ECAP.PDS', () => {
    const [without, withThem] = [new Rig({ pds: false }).enable(), new Rig({ dit: true }).enable()];
    for (const rig of [without, withThem]) {
      rig.frozen = true;
      rig.link();
    }
    for (const words of [
      [0x0000010000001003n, 0x7ffffffffffff001n],
      [0x0010010000000003n, 0x7ffffffffffff001n],
      [0x0010000501001008n, 0x7ffffffffffff800n],
      [0x0000000200000085n, 0n],
    ]) {
      expect(without.verdict(...words)).toBe(4);
      expect(withThem.verdict(...words)).toBe(-1);
    }
  });

  it('stops at an error, says so once, and goes on from IQH when FSTS.IQE is cleared (3.13)', () => {
    const rig = new Rig().enable();
    rig.invalidate(rig.wait(0), [0n], rig.wait(1));
    expect([rig.head, rig.statusOf(0), rig.statusOf(1)]).toEqual([32, 2, 0]);
    expect([rig.fsts & 0x70, rig.iqei]).toEqual([0x10, 3]);
    expect(rig.interrupts).toEqual(['fault']);
    // Nothing moves while IQE is set, whatever is written to IQT.
    rig.invalidate(rig.wait(2));
    expect([rig.head, rig.statusOf(2)]).toEqual([32, 0]);
    rig.store(rig.queue + 32, 5n, 0n);
    rig.write(0x34, 0x10);
    rig.settle();
    expect([rig.head, rig.statusOf(1), rig.statusOf(2), rig.iqei]).toEqual([128, 2, 2, -1]);
  });

  it('stops again at a descriptor that was not replaced', () => {
    const rig = new Rig().enable();
    rig.invalidate([0n]);
    rig.write(0x34, 0x10);
    rig.settle();
    expect([rig.head, rig.iqei, rig.interrupts.length]).toEqual([0, 3, 2]);
  });

  it('refuses a tail that is not one: beyond the queue IQEI 1, not aligned to 32 bytes IQEI 6', () => {
    const rig = new Rig().enable();
    rig.write(0x88, 0x1000);
    rig.settle();
    expect(rig.iqei).toBe(1);
    rig.write(0x88, 0x10);
    rig.write(0x34, 0x10);
    rig.settle();
    expect(rig.iqei).toBe(6);
    rig.write(0x88, 0x20);
    rig.store(rig.queue, 5n, 0n, 0n, 0n);
    rig.write(0x34, 0x10);
    rig.settle();
    expect([rig.iqei, rig.head]).toEqual([-1, 0x20]);
  });

  it('refuses a queue where there is no memory: IQEI 2', () => {
    const rig = new Rig().enable();
    rig.write64(0x90, 0x10_0000_0800n);
    rig.write(0x88, 0x20);
    rig.settle();
    expect([rig.iqei, rig.head]).toEqual([2, 0]);
  });

  it('refuses descriptors of 128 bits in scalable mode, and of 256 bits without ECAP.SMTS: IQEI 5', () => {
    const rig = new Rig().enable();
    rig.write64(0x90, BigInt(rig.queue));
    expect(rig.verdict(5n)).toBe(5);
    const old = new Rig({ smts: false, adms: false, pasid: false }).enable(0);
    old.write64(0x90, BigInt(old.queue) | 0x800n);
    expect(old.verdict(5n)).toBe(5);
  });

  it('refuses root types that the unit does not have: IQEI 7', () => {
    expect(new Rig({ smts: false }).enable(1).verdict(5n)).toBe(7);
    expect(new Rig().enable(2).verdict(5n)).toBe(7);
    expect(new Rig({ adms: false }).enable(3).verdict(5n)).toBe(7);
    expect(new Rig({ ecs: true }).enable(2).verdict(5n)).toBe(-1);
    expect(new Rig().enable(3).verdict(5n)).toBe(-1);
  });

  it.each([
    [0, 16],
    [0, 32],
  ])('takes descriptors of either width in legacy mode, and wraps (DW with ECAP.SMTS: %i, %i bytes)', (ttm, width) => {
    const rig = new Rig().enable(ttm);
    rig.width = width;
    rig.write64(0x90, BigInt(rig.queue) | (width === 32 ? 0x800n : 0n));
    for (let n = 0; n < 600; n++) rig.invalidate(rig.wait(n % 64, n));
    expect([rig.iqei, rig.head]).toEqual([-1, (600 * width) % 4096]);
    expect(rig.statusOf(599 % 64)).toBe(599);
  });

  it('has room for 2^(QS+7) descriptors of 256 bits', () => {
    const rig = new Rig();
    const big = rig.frames(2);
    rig.enable();
    rig.write64(0x90, BigInt(big) | 0x802n);
    for (let n = 0; n < 511; n++) rig.store(big + n * 32, 5n, 0n, 0n, 0n);
    rig.store(big + 511 * 32, ...rig.wait(0, 9));
    rig.write(0x88, 511 * 32);
    rig.settle();
    rig.write(0x88, 0);
    rig.settle();
    expect([rig.head, rig.statusOf(0), rig.iqei]).toEqual([0, 9, -1]);
  });

  it('does nothing while QIE is off, and begins at IQT when it goes on (1.9)', () => {
    const rig = new Rig();
    rig.write64(0x90, BigInt(rig.queue) | 0x800n);
    rig.post(rig.wait(0));
    rig.settle();
    expect(rig.statusOf(0)).toBe(0);
    rig.command(0, 0x0400_0000);
    rig.settle();
    expect([rig.statusOf(0), rig.head]).toEqual([2, 32]);
  });

  it('goes off when it is empty, and IQH is 0 again (VTD-2)', () => {
    const rig = new Rig().enable();
    rig.invalidate(rig.wait(0));
    rig.command(0, 0x8000_0000);
    expect([rig.read(0x1c) >>> 0, rig.head]).toEqual([0xc000_0000, 0]);
  });

  it('consumes what is queued before QIE=0 takes effect', () => {
    const rig = new Rig().enable();
    rig.post(rig.wait(0), rig.wait(1));
    rig.command(0, 0x8000_0000);
    expect((rig.read(0x1c) >>> 26) & 1).toBe(1);
    rig.settle();
    expect([(rig.read(0x1c) >>> 26) & 1, rig.statusOf(1), rig.head]).toEqual([0, 2, 0]);
  });

  it('stays on while a wait is pending that it has consumed, for its status is still to be written', () => {
    const rig = new Rig().enable();
    rig.frozen = true;
    const link = rig.link();
    rig.invalidate([0x0000010000000003n, 0x7ffffffffffff001n], rig.wait(0));
    rig.command(0, 0x8000_0000);
    expect((rig.read(0x1c) >>> 26) & 1).toBe(1);
    rig.deliver(link, { kind: 'invalidate-completion', itags: 1, count: 1 });
    expect([(rig.read(0x1c) >>> 26) & 1, rig.statusOf(0)]).toEqual([0, 2]);
  });

  it('tells whoever watches which frames it reads and writes (INV-2)', () => {
    const rig = new Rig().enable();
    rig.context();
    const seen: string[] = [];
    rig.kernel.observer = Object.create(rig.kernel.observer, {
      fetched: {
        value: (_agent: string, pfn: number, what: string) => seen.push(`${what} ${pfn * 4096 === rig.queue}`),
      },
    });
    rig.invalidate(rig.wait(0));
    rig.deliver(rig.link(), { kind: 'page-request', pasid: 5, prgi: 1, page: 7, perm: 1, last: true });
    expect(seen[0]).toBe('invalidation queue true');
    expect(seen.at(-1)).toBe('page request queue false');
  });

  it('goes off at once when an error has stopped it', () => {
    const rig = new Rig().enable();
    rig.invalidate([0n]);
    rig.command(0, 0x8000_0000);
    expect((rig.read(0x1c) >>> 26) & 1).toBe(0);
  });

  it('is absent without ECAP.QI', () => {
    const rig = new Rig({ qi: false }).enable(0);
    expect((rig.read(0x1c) >>> 26) & 1).toBe(0);
  });
});
