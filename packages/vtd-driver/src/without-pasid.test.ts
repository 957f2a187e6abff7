import { PERM, type SvaHandle } from '@iommukit/core';
import { type Coroutine, isIommuError } from '@iommukit/kernel';
import { Oracles } from '@iommukit/oracles';
import { describe, expect, it } from 'vitest';
import { RID, Stack, type StackOptions } from '../test/stack.js';

const [READ, WRITE] = [1, 2];
/** vtd.md 5.2: no leaf in the first stage; FPD or not, P=0 gives 0x59 for an entry that is not present. */
const NOT_MAPPED = 0x71;
const WITHOUT = { withoutPasid: true } as const;
const OTHER = 0x20;

/** A device that was probed, with no feature enabled. */
function probed(body: (stack: Stack) => Coroutine<void>, options: StackOptions = {}): Stack {
  const stack = new Stack({ observe: (kernel, memory) => new Oracles(kernel, memory), ...options });
  stack.do(function* () {
    yield* stack.driver.start();
    yield* stack.driver.probeDevice(stack.device);
    yield* body(stack);
  });
  return stack;
}

function* refusalOf(what: Coroutine<unknown>): Coroutine<string> {
  try {
    yield* what;
  } catch (error) {
    if (isIommuError(error)) return error.message;
    throw error;
  }
  return 'none';
}

describe('an address space for requests without PASID (VTD-40)', () => {
  it('puts its tables into entry 0, with a domain id of their own, and takes no PASID', () => {
    probed(function* (stack) {
      const { mm, page } = yield* stack.makeMm();
      const handle = yield* stack.driver.bind(stack.device, mm, WITHOUT);
      expect([handle.pasid, mm.pasid]).toEqual([0, 0]);
      // P=1 AW=2 PGTT=1 (qw0); DID 2, PWSNP (qw1); the table (qw2).
      expect(stack.entry(0)).toEqual([0x49n, 0x80_0002n, BigInt(mm.pgd)]);
      expect(stack.translate(-1, page, WRITE)).toBeGreaterThan(0);
      yield* stack.driver.unbind(handle);
      expect(stack.entry(0)).toEqual([]);
      expect(stack.translate(-1, page, READ)).toBeLessThan(0);
      yield* stack.core.mms.put(mm);
    });
  });

  it('follows the address space: what munmap took away is gone, and its fault is recorded', () => {
    const stack = probed(function* (given) {
      const { mm, va, page } = yield* given.makeMm();
      const handle = yield* given.driver.bind(given.device, mm, WITHOUT);
      expect(given.translate(-1, page, READ)).toBeGreaterThan(0);
      yield* given.core.mms.munmap(mm, va, 4096);
      expect(given.translate(-1, page, READ)).toBe(-NOT_MAPPED);
      expect(new Set(given.trace.filter((line) => line.startsWith('vtd_mm_invalidate')))).toEqual(
        new Set([`vtd_mm_invalidate: pasid=0 start=0x${va.toString(16)} end=0x${(va + 4096n).toString(16)}`]),
      );
      yield* given.driver.unbind(handle);
      yield* given.core.mms.put(mm);
    });
    expect(stack.kernel.slabs.counts().filter(([name, n]) => /bond|svm/.test(name) && n > 0)).toEqual([]);
  });

  it('is quiet between release and unbind: FPD stays in the entry (VTD-20, VTD-21)', () => {
    probed(function* (stack) {
      const { mm, page } = yield* stack.makeMm();
      const handle = yield* stack.driver.bind(stack.device, mm, WITHOUT);
      expect(stack.translate(-1, page, READ)).toBeGreaterThan(0);
      yield* stack.core.mms.put(mm);
      expect(stack.entry(0)).toEqual([2n]);
      expect(stack.translate(-1, page, READ)).toBeLessThan(0);
      yield* stack.driver.unbind(handle);
      expect(stack.entry(0)).toEqual([]);
    });
  });

  it('keeps address spaces of different devices apart, whose PASID is the same', () => {
    probed(function* (stack) {
      const { driver } = stack;
      const [, other] = stack.connect('0000:00:04.0', OTHER);
      yield* driver.probeDevice(other);
      const a = yield* stack.makeMm();
      const b = yield* stack.makeMm();
      expect(a.va).toBe(b.va);
      const first = yield* driver.bind(stack.device, a.mm, WITHOUT);
      const second = yield* driver.bind(other, b.mm, WITHOUT);
      const frames = [RID, OTHER].map((rid) => stack.translate(-1, a.page, WRITE, rid));
      expect(frames[0]).not.toBe(frames[1]);
      yield* stack.core.mms.put(a.mm);
      expect(stack.translate(-1, a.page, WRITE)).toBeLessThan(0);
      expect(stack.translate(-1, a.page, WRITE, OTHER)).toBe(frames[1]);
      yield* driver.unbind(first);
      yield* driver.unbind(second);
      yield* stack.core.mms.put(b.mm);
    });
  });

  it('serves several devices by one notifier, and beside a PASID of the same device (SVA-4)', () => {
    probed(function* (stack) {
      const { driver } = stack;
      yield* driver.enable(stack.device, 'iopf');
      yield* driver.enable(stack.device, 'sva');
      const [, other] = stack.connect('0000:00:04.0', OTHER);
      yield* driver.probeDevice(other);
      const { mm, va, page } = yield* stack.makeMm();
      const handles: SvaHandle[] = [yield* driver.bind(stack.device, mm)];
      for (const device of [stack.device, other]) handles.push(yield* driver.bind(device, mm, WITHOUT));
      expect(handles.map(({ pasid }) => pasid)).toEqual([1, 0, 0]);
      expect(mm.subscriptions).toHaveLength(2);
      for (const pasid of [1, -1]) expect(stack.translate(pasid, page, READ)).toBeGreaterThan(0);
      yield* stack.core.mms.munmap(mm, va, 4096);
      for (const pasid of [1, -1]) expect(stack.translate(pasid, page, READ)).toBeLessThan(0);
      expect(stack.translate(-1, page, READ, OTHER)).toBeLessThan(0);
      for (const handle of handles) yield* driver.unbind(handle);
      yield* stack.core.mms.put(mm);
    });
  });

  it('gives the same handle to a second bind, and needs as many unbinds (SVA-3)', () => {
    probed(function* (stack) {
      const { mm, page } = yield* stack.makeMm();
      const handle = yield* stack.driver.bind(stack.device, mm, WITHOUT);
      expect(yield* stack.driver.bind(stack.device, mm, WITHOUT)).toBe(handle);
      yield* stack.driver.unbind(handle);
      expect(stack.translate(-1, page, READ)).toBeGreaterThan(0);
      yield* stack.driver.unbind(handle);
      expect(stack.translate(-1, page, READ)).toBeLessThan(0);
      yield* stack.core.mms.put(mm);
    });
  });

  it('is refused while requests without PASID go elsewhere, and keeps them where they go (EBUSY)', () => {
    probed(function* (stack) {
      const { driver, device } = stack;
      const { mm } = yield* stack.makeMm();
      const second = yield* stack.makeMm();
      const domain = yield* driver.allocDomain(device);
      yield* driver.attach(device, domain);
      expect(yield* refusalOf(driver.bind(device, mm, WITHOUT))).toContain('without PASID go to domain 2');
      yield* driver.map(domain, 0x1000n, 0x4100_0000, 4096, PERM.READ);
      expect(stack.translate(-1, 1, READ)).toBe(0x4_1000);
      yield* driver.detach(device);
      const handle = yield* driver.bind(device, mm, WITHOUT);
      for (const refused of [
        () => driver.bind(device, second.mm, WITHOUT),
        () => driver.attach(device, domain),
        () => driver.detach(device),
        () => driver.releaseDevice(device),
      ]) {
        expect(yield* refusalOf(refused())).toContain(`without PASID go to ${mm.space}`);
      }
      yield* driver.unbind(handle);
      yield* driver.freeDomain(domain);
      for (const each of [mm, second.mm]) yield* stack.core.mms.put(each);
      yield* driver.releaseDevice(device);
    });
  });

  it.each([
    ['legacy', {}, 'vtd.mode is legacy: it has no first stage'],
    ['ecs', { ecs: true }, 'vtd.mode is ecs: the first stage is for requests with PASID'],
    ['scalable', { flts: false }, 'ECAP.FLTS is 0: it has no first stage'],
  ])('is refused with the reason by a unit that cannot: %s %o (ENODEV)', (mode, capabilities, reason) => {
    probed(
      function* (stack) {
        const { mm } = yield* stack.makeMm();
        const before = stack.kernel.slabs.counts();
        expect(yield* refusalOf(stack.driver.bind(stack.device, mm, WITHOUT))).toContain(`${reason} (ENODEV)`);
        expect(stack.kernel.slabs.counts()).toEqual(before);
        yield* stack.core.mms.put(mm);
      },
      { settings: { 'vtd.mode': mode }, capabilities },
    );
  });

  it('leaves nothing behind when any of its allocations fails', () => {
    let failed = 0;
    for (let failAt = 1; failAt < 20; failAt++) {
      probed(function* (stack) {
        const { mm } = yield* stack.makeMm();
        const { injection, slabs } = stack.kernel;
        const before = [slabs.counts(), stack.driver.vtd.dmaDomains.dids.used.size];
        injection.state.count = 0;
        injection.failAt = failAt;
        const refusal = yield* refusalOf(
          (function* (): Coroutine<void> {
            yield* stack.driver.unbind(yield* stack.driver.bind(stack.device, mm, WITHOUT));
          })(),
        );
        injection.failAt = 0;
        if (refusal !== 'none') failed++;
        expect([slabs.counts(), stack.driver.vtd.dmaDomains.dids.used.size]).toEqual(before);
        expect(stack.entry(0)).toEqual([]);
        yield* stack.core.mms.put(mm);
      });
    }
    expect(failed).toBeGreaterThan(3);
  });
});
