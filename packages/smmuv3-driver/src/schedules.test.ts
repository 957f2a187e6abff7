import { type Coroutine, type Outcome, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench } from '../test/bench.js';
import { PciBench } from '../test/pci-bench.js';

/** Runs `tasks` side by side in `count` random orders on one machine that is restored each time. */
function schedules(bench: Bench, count: number, tasks: () => Readonly<Record<string, () => Coroutine<void>>>): void {
  const { kernel } = bench.boot();
  const before = bench.inUse();
  const start = kernel.checkpoints.take();
  for (let seed = 1; seed <= count; seed++) {
    start.restore();
    for (const [name, body] of Object.entries(tasks())) kernel.spawn(name, body);
    kernel.begin(new RandomChooser(seed));
    const outcome: Outcome = kernel.run();
    expect(outcome.end, `seed ${seed}`).toBe('finished');
    expect(bench.inUse(), `seed ${seed}`).toEqual(before);
    expect(descriptors(bench), `seed ${seed}`).toEqual([0n, 0n, 0n, 0n]);
  }
}

/** The first words of the device's first context descriptors: none is left, not even at PASID 0 (SVA-23). */
function descriptors(bench: Bench): bigint[] {
  const { smmu } = bench.driver;
  const [master] = smmu.masters.byDevice.values();
  return [0, 1, 2, 3].map((ssid) => bench.word(smmu.contexts.addressOf(master!.domain!.contexts, ssid)));
}

describe('Smmuv3Driver in random schedules', () => {
  it('survives a process that dies while another task unbinds it (SVA-23, MN-7)', () => {
    const bench = new Bench();
    const { core, driver, device, kernel } = bench;
    schedules(bench, 400, () => ({
      *main() {
        const { mm } = yield* bench.makeMm();
        const handle = yield* driver.bind(device, mm);
        kernel.spawn('exit', () => core.mms.put(mm));
        kernel.spawn('unbind', () => driver.unbind(handle));
      },
    }));
  });

  it('survives two processes that bind, unmap and unbind on one device', () => {
    const bench = new PciBench({ settings: { 'smmuv3.cmdq-entries': 2 } });
    const { core, driver } = bench;
    const process = function* (): Coroutine<void> {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* driver.bind(bench.pci, mm);
      yield* bench.ask(handle.pasid, handle.pasid, Number(va >> 12n), 2);
      yield* core.mms.munmap(mm, va, 4096);
      yield* driver.unbind(handle);
      yield* core.mms.put(mm);
    };
    schedules(bench, 200, () => ({ one: process, two: process }));
  });

  it('survives a process that dies with requests of its device under way (MM-8, SVA-12)', () => {
    const bench = new PciBench();
    const { core, driver, kernel } = bench;
    schedules(bench, 200, () => ({
      *main() {
        const { mm, va } = yield* bench.makeMm();
        const handle = yield* driver.bind(bench.pci, mm);
        kernel.spawn('exit', () => core.mms.put(mm));
        for (let group = 0; group < 4; group++) yield* bench.ask(handle.pasid, group, Number(va >> 12n), 2);
        yield* driver.unbind(handle);
      },
    }));
  });
});
