import { type Device, PERM, type SvaHandle } from '@iommukit/core';
import { type Coroutine, isIommuError } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions } from '../test/bench.js';
import { PCI_SID, PciBench } from '../test/pci-bench.js';

const [READ, WRITE] = [1, 2];
const WITHOUT = { withoutPasid: true } as const;
const PLAIN = 0x50;
const TAGGED = 0x51;
/** smmuv3.md 5: F_TRANSLATION. A stream that aborts has no event. */
const F_TRANSLATION = 0x10;
const ABORTED = -0;

/** A device without PASIDs and one that has some, neither with a feature on. */
class Rig extends Bench {
  plain: Device = null as unknown as Device;
  tagged: Device = null as unknown as Device;

  override *start(): Coroutine<void> {
    yield* super.start();
    this.plain = yield* this.plug('plain', PLAIN, { 'dma-can-stall': false, 'pasid-num-bits': 0 }, false);
    this.tagged = yield* this.plug('tagged', TAGGED, { 'dma-can-stall': false }, false);
  }

  /** What requests without PASID reach. */
  reach(va: bigint, want = READ, sid = PLAIN): number {
    return this.translate(-1, va, want, sid);
  }

  /** CD.S1DSS of a stream's entry (dw1 bits 1:0), and its S1CDMax (dw0 bits 63:59). */
  s1dss(sid: number): readonly [number, number] {
    const { smmu } = this.driver;
    const pa = smmu.streamTable.addressOf(sid);
    return [Number(this.word(pa + 8) & 3n), Number(this.word(pa) >> 59n)];
  }
}

const rig = (options: BenchOptions = {}): Rig => new Rig(options).boot();

function* refusalOf(what: Coroutine<unknown>): Coroutine<string> {
  try {
    yield* what;
  } catch (error) {
    if (isIommuError(error)) return error.message;
    throw error;
  }
  return 'none';
}

describe('an address space for requests without PASID (SMMU-28)', () => {
  it('is at descriptor 0 of a device that has no PASIDs, and nothing is left of it afterwards', () => {
    const bench = rig();
    const before = bench.inUse();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      expect(bench.reach(va)).toBe(ABORTED);
      const handle = yield* bench.driver.bind(bench.plain, mm, WITHOUT);
      expect([handle.pasid, mm.pasid]).toEqual([0, 0]);
      expect(bench.s1dss(PLAIN)).toEqual([2, 0]);
      expect(bench.reach(va, WRITE)).toBeGreaterThan(0);
      yield* bench.driver.unbind(handle);
      expect(bench.reach(va)).toBe(ABORTED);
      yield* bench.core.mms.put(mm);
    });
    expect(bench.inUse()).toEqual(before);
  });

  it('is beside the PASIDs of a device that has some: S1DSS changes, and changes back', () => {
    const bench = rig();
    const before = bench.inUse();
    bench.do(function* () {
      const { driver, tagged } = bench;
      const { mm, va } = yield* bench.makeMm();
      expect(bench.s1dss(TAGGED)).toEqual([0, 8]);
      const handle = yield* driver.bind(tagged, mm, WITHOUT);
      expect(bench.s1dss(TAGGED)).toEqual([2, 8]);
      expect(bench.reach(va, WRITE, TAGGED)).toBeGreaterThan(0);
      // smmuv3.md 2.3: descriptor 0 belongs to requests without PASID alone.
      expect(bench.translate(0, va, READ, TAGGED)).toBeLessThan(0);
      yield* driver.unbind(handle);
      expect(bench.s1dss(TAGGED)).toEqual([0, 8]);
      expect(bench.reach(va, READ, TAGGED)).toBeLessThan(0);
      yield* bench.core.mms.put(mm);
    });
    expect(bench.inUse()).toEqual(before);
  });

  it.each([true, false])('follows the address space, with broadcast TLB maintenance or without (%s)', (btm) => {
    const bench = rig({ capabilities: { btm } });
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.plain, mm, WITHOUT);
      expect(bench.reach(va)).toBeGreaterThan(0);
      yield* bench.core.mms.munmap(mm, va, 4096);
      expect(bench.reach(va)).toBe(-F_TRANSLATION);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('is quiet between release and unbind: the descriptor stays valid (SVA-9, SMMU-10)', () => {
    const bench = rig();
    const before = bench.inUse();
    bench.do(function* () {
      const { driver, plain } = bench;
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* driver.bind(plain, mm, WITHOUT);
      expect(bench.reach(va)).toBeGreaterThan(0);
      yield* bench.core.mms.put(mm);
      const { contexts } = driver.smmu.masters.of(plain).domain!;
      const cd = bench.word(driver.smmu.contexts.addressOf(contexts, 0));
      // V (31) stays, EPD0 (14) is set; S (44) and R (45) are clear, so that nothing is recorded.
      expect([(cd >> 31n) & 1n, (cd >> 14n) & 1n, (cd >> 44n) & 3n]).toEqual([1n, 1n, 0n]);
      expect(bench.reach(va)).toBeLessThanOrEqual(0);
      yield* driver.unbind(handle);
    });
    expect(bench.inUse()).toEqual(before);
  });

  it('keeps address spaces of different devices apart, and serves several devices with one', () => {
    const bench = rig();
    bench.do(function* () {
      const { driver } = bench;
      const a = yield* bench.makeMm();
      const b = yield* bench.makeMm();
      expect(a.va).toBe(b.va);
      const other = yield* bench.plug('other', 0x52, { 'dma-can-stall': false, 'pasid-num-bits': 0 }, false);
      const handles: SvaHandle[] = [];
      handles.push(yield* driver.bind(bench.plain, a.mm, WITHOUT), yield* driver.bind(other, b.mm, WITHOUT));
      handles.push(yield* driver.bind(bench.tagged, a.mm, WITHOUT));
      const [first, second, third] = [PLAIN, 0x52, TAGGED].map((sid) => bench.reach(a.va, WRITE, sid));
      expect(first).toBe(third);
      expect(first).not.toBe(second);
      yield* bench.core.mms.put(a.mm);
      expect([PLAIN, TAGGED].map((sid) => bench.reach(a.va, READ, sid) > 0)).toEqual([false, false]);
      expect(bench.reach(a.va, READ, 0x52)).toBe(second);
      for (const handle of handles) yield* driver.unbind(handle);
      yield* bench.core.mms.put(b.mm);
    });
  });

  it('is refused while requests without PASID go elsewhere, and keeps them where they go (EBUSY)', () => {
    const bench = rig();
    const before = bench.inUse();
    bench.do(function* () {
      const { driver, plain } = bench;
      const { mm, va } = yield* bench.makeMm();
      const second = yield* bench.makeMm();
      const domain = yield* driver.allocDomain(plain);
      yield* driver.attach(plain, domain);
      expect(yield* refusalOf(driver.bind(plain, mm, WITHOUT))).toContain(`without PASID go to ${domain.name}`);
      yield* driver.map(domain, 0x1000n, 0x4300_0000, 4096, PERM.READ);
      expect(bench.reach(0x1000n)).toBe(0x43000);
      yield* driver.detach(plain);
      const handle = yield* driver.bind(plain, mm, WITHOUT);
      expect(yield* driver.bind(plain, mm, WITHOUT)).toBe(handle);
      for (const refused of [
        () => driver.bind(plain, second.mm, WITHOUT),
        () => driver.attach(plain, domain),
        () => driver.detach(plain),
        () => driver.releaseDevice(plain),
      ]) {
        expect(yield* refusalOf(refused())).toContain(`without PASID go to ${mm.space}`);
      }
      yield* driver.unbind(handle);
      expect(bench.reach(va)).toBeGreaterThan(0);
      yield* driver.unbind(handle);
      expect(bench.reach(va)).toBe(ABORTED);
      yield* driver.freeDomain(domain);
      for (const each of [mm, second.mm]) yield* bench.core.mms.put(each);
    });
    expect(bench.inUse()).toEqual(before);
  });

  it.each([
    [{ coherent: false }, 'IDR0.COHACC is 0'],
    [{ oas: 40 }, 'IDR5.OAS is 40 bits'],
  ])('is refused with the reason by an SMMU that cannot: %o (ENODEV)', (capabilities, reason) => {
    const bench = new Bench({ capabilities });
    bench.do(function* () {
      yield* bench.driver.start();
      const plain = yield* bench.plug('plain', PLAIN, { 'dma-can-stall': false, 'pasid-num-bits': 0 }, false);
      const { mm } = yield* bench.makeMm();
      const before = bench.inUse();
      expect(yield* refusalOf(bench.driver.bind(plain, mm, WITHOUT))).toContain(reason);
      expect(bench.inUse()).toEqual(before);
      yield* bench.core.mms.put(mm);
    });
  });

  it("empties a device's TLB of everything, for nothing names what came without PASID (SMMU-23, TLB-10)", () => {
    const bench = new PciBench();
    bench.boot();
    bench.do(function* () {
      const { driver, pci } = bench;
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* driver.bind(pci, mm, WITHOUT);
      bench.got.length = 0;
      yield* bench.core.mms.munmap(mm, va, 4096);
      const invalidations = bench.got.filter(({ kind }) => kind === 'invalidate-request');
      expect(invalidations.length).toBeGreaterThan(0);
      expect(invalidations.map((tlp) => ('pasid' in tlp ? tlp.pasid : null))).toEqual(invalidations.map(() => -1));
      expect(bench.translate(-1, va, READ, PCI_SID)).toBeLessThan(0);
      yield* driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('leaves nothing behind when any of its allocations fails', () => {
    let failed = 0;
    for (let failAt = 1; failAt < 24; failAt++) {
      const bench = rig();
      bench.do(function* () {
        const { mm } = yield* bench.makeMm();
        const { injection } = bench.kernel;
        yield* bench.core.notifiers.synchronize();
        const before = bench.inUse();
        injection.state.count = 0;
        injection.failAt = failAt;
        const refusal = yield* refusalOf(
          (function* (): Coroutine<void> {
            yield* bench.driver.unbind(yield* bench.driver.bind(bench.plain, mm, WITHOUT));
          })(),
        );
        injection.failAt = 0;
        if (refusal !== 'none') failed++;
        yield* bench.core.notifiers.synchronize();
        expect(bench.inUse()).toEqual(before);
        yield* bench.core.mms.put(mm);
      });
    }
    expect(failed).toBeGreaterThan(4);
  });
});
