import type { Settings } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench } from '../test/bench.js';

/**
 * A device caches that a page may only be read; then the CPU makes the page writable, as its only owner. What does the
 * device's write find: before the fault is answered, and after the driver's flush?
 */
function writes(settings: Settings): [before: string, after: string] {
  const bench = new Bench({ settings }).boot();
  const found: string[] = [];
  bench.do(function* () {
    const { core, driver, device } = bench;
    const { smmu } = driver;
    const { mm, va } = yield* bench.makeMm();
    const child = yield* core.mms.fork(mm);
    yield* core.mms.put(child);
    const handle = yield* driver.bind(device, mm);
    const look = (): string => (bench.translate(handle.pasid, va, 2) > 0 ? 'written' : 'faults');
    expect(bench.translate(handle.pasid, va, 1)).toBeGreaterThan(0);
    expect(look()).toBe('faults');
    yield* core.cpu.store(mm, va, Uint8Array.of(5));
    found.push(look());
    yield* smmu.sva.flushForResponse(smmu.masters.of(device), handle.pasid, Number(va >> 12n));
    found.push(look());
    yield* driver.unbind(handle);
    yield* core.mms.put(mm);
  });
  return [found[0]!, found[1]!];
}

describe('a page that becomes writable (MN-14, SMMU-20, L41)', () => {
  it.each([
    ['is written at once when the mm tells (notify-on-upgrade)', { upgrade: 'notify' }, 'written'],
    ['faults until the driver flushes (flush-before-response)', { upgrade: 'flush-before-response' }, 'faults'],
    ['faults again and again with neither (upgrade-no-notify)', { upgrade: 'none' }, 'faults'],
    ['is written at once when the CPUs broadcast (MN-15)', { upgrade: 'none', btm: 'on' }, 'written'],
    ['is written at once where rights are not cached', { upgrade: 'none', 'cache-ro': 'off' }, 'written'],
  ] as [string, Settings, string][])('%s', (_, settings, before) => {
    expect(writes(settings)).toEqual([before, 'written']);
  });
});
