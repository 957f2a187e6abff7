import type { Mmio } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { PciBench } from '../test/pci-bench.js';
import { CommandQueue } from './index.js';

/** Configuration space of a function that may be pulled out: it reads as ones then, and writes are lost. */
function pluggable(config: Mmio, state: { gone: boolean }): Mmio {
  const handler: ProxyHandler<Mmio> = {
    get(target, key) {
      const kernel = (target as unknown as { kernel: { done(value: number): unknown } }).kernel;
      const value = Reflect.get(target, key, target) as unknown;
      if (!state.gone || typeof value !== 'function') return typeof value === 'function' ? value.bind(target) : value;
      return () => kernel.done(key === 'read16' ? 0xffff : 0xffff_ffff);
    },
  };
  return new Proxy(config, handler);
}

describe('a PCI function that is pulled out (L51, MN-18)', () => {
  it('has its invalidations end by the time-out of the SMMU, and everything after that undone', () => {
    const bench = new PciBench();
    const state = { gone: false };
    Object.assign(bench.pci, { config: pluggable(bench.pci.config!, state) });
    bench.boot();
    const { driver, core, kernel } = bench;
    const times: number[] = [];
    const lines: string[] = [];
    kernel.trace.add({
      event: ({ point, record }) => {
        if (point.name === 'smmu_cmdq_error') lines.push(point.format(record));
      },
    });
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* driver.bind(bench.pci, mm);
      yield* bench.ask(handle.pasid, 3, Number(va >> 12n), 2);
      bench.link.remove();
      state.gone = true;
      const start = kernel.clock.now();
      yield* core.mms.munmap(mm, va, 4096);
      times.push(kernel.clock.now() - start);
      yield* driver.unbind(handle);
      yield* driver.disable(bench.pci, 'sva');
      yield* driver.disable(bench.pci, 'iopf');
      yield* driver.releaseDevice(bench.pci);
      yield* core.mms.put(mm);
      yield* kernel.rcu.synchronize();
    });
    expect(times[0]).toBeGreaterThanOrEqual(60e9);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines[0]).toMatch(/^smmuv3@9050000: CMDQ error \(cons 0x0[0-9a-f]{7}\): ATC invalidate timeout$/);
    expect([driver.smmu.masters.byDevice.size, driver.smmu.masters.state.credits]).toEqual([0, 0]);
  });

  it('loses no command behind the SYNC that failed; abort-skips-slots does', () => {
    // The SYNC is over, and so is what stands behind it: both become SYNCs without effect.
    class Skips extends CommandQueue {
      override *retrySync(cons: number) {
        for (const at of [cons, cons + 1]) {
          const pa = this.state.pa + 16 * this.ring.index(at & this.ring.mask);
          yield* this.dma.storeWords(pa, Uint32Array.of(0x46, 0, 0, 0), 0, 2);
        }
      }
    }
    for (const [Queue, wanted] of [
      [CommandQueue, [0x46, 0x11, 0x46]],
      [Skips, [0x46, 0x46, 0x46]],
    ] as const) {
      const bench = new PciBench({ parts: { CommandQueue: Queue } }).boot();
      const { driver, kernel, hardware } = bench;
      const { commands, invalidation, masters } = driver.smmu;
      const executed: number[] = [];
      const execute = hardware.commands.execute.bind(hardware.commands);
      bench.link.remove();
      bench.do(function* () {
        kernel.spawn('invalidates the device', () => invalidation.atcDevice(masters.of(bench.pci)));
        yield* kernel.clock.sleep(1e9);
        hardware.commands.execute = (opcode) => {
          const result = execute(opcode);
          if (result === 0) executed.push(opcode);
          return result;
        };
        yield* invalidation.tlbAsid(1);
      });
      expect(commands.state.errors).toBe(1);
      expect(executed).toEqual(wanted);
    }
  });
});
