import type { Device } from '@iommukit/core';
import { type Coroutine, type Mutex, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions, codeOf, SID } from '../test/bench.js';
import { type Master, Masters, smmuv3Parts } from './index.js';

/** The stalled write of smmuv3.md 5.2's layout, for the benches' stream: SSID 5, STAG 7. */
const RECORD = Uint32Array.of(0x5810, SID, 0x8000_0007, 0x200, 0x3456_7000, 0x7f12, 0, 0);

describe('Masters: streams of devices (IOPF-27)', () => {
  function streams(Broken: typeof Masters, device: (bench: Bench) => Device): [code: string, left: number[]] {
    const bench = new Bench({ parts: { Masters: Broken } });
    let code = '';
    bench.do(function* () {
      yield* bench.driver.start();
      yield* bench.driver.probeDevice(bench.makeDevice('first', [0x50], {}));
      code = yield* codeOf(bench.driver.probeDevice(device(bench)));
    });
    return [code, [...bench.driver.smmu.masters.byStream.keys()]];
  }

  const outOfRange = (bench: Bench): Device => bench.makeDevice('odd', [1, 2, 0x10000], {});

  it('takes all streams of a device in or none: out of range is ERANGE, a taken one EINVAL', () => {
    expect(streams(Masters, outOfRange)).toEqual(['ERANGE', [0x50]]);
    expect(streams(Masters, (bench) => bench.makeDevice('alias', [1, 0x50], {}))).toEqual(['EINVAL', [0x50]]);
    expect(streams(Masters, (bench) => bench.makeDevice('twice', [1, 2, 1], {}))).toEqual(['EINVAL', [0x50]]);
    expect(streams(Masters, (bench) => bench.makeDevice('many', [3, 1, 2], {}))).toEqual(['none', [0x50, 3, 1, 2]]);
  });

  it('leaves the first stream behind with rollback-stream-off-by-one', () => {
    class OffByOne extends Masters {
      override removeStreams({ device }: Master, count: number): void {
        for (const sid of device.streams.slice(1, count + 1)) this.byStream.delete(sid);
      }
    }
    expect(streams(OffByOne, outOfRange)).toEqual(['ERANGE', [0x50, 1]]);
  });

  it('says whose a stream is already', () => {
    const bench = new Bench();
    const lines: string[] = [];
    bench.kernel.trace.add({ event: ({ point, record }) => lines.push(point.format(record)) });
    bench.do(function* () {
      yield* bench.driver.start();
      yield* bench.driver.probeDevice(bench.device);
      yield* codeOf(bench.driver.probeDevice(bench.makeDevice('alias', [SID], {})));
    });
    expect(lines).toEqual([
      'smmuv3@9050000: Aliasing StreamID 0x42 (from accelerator) unsupported, expect DMA to be broken',
    ]);
  });

  it('reaches every stream of a device that has several', () => {
    const bench = new Bench();
    const two = bench.makeDevice('two', [7, 0x107], { 'pasid-num-bits': 8 });
    bench.do(function* () {
      yield* bench.driver.start();
      yield* bench.driver.probeDevice(two);
      const { streamTable, commands } = bench.driver.smmu;
      expect([7, 0x107].map((sid) => bench.word(streamTable.addressOf(sid)) & 0xfn)).toEqual([0xbn, 0xbn]);
      const from = commands.state.produced;
      yield* bench.driver.releaseDevice(two);
      expect([7, 0x107].map((sid) => bench.word(streamTable.addressOf(sid)))).toEqual([1n, 1n]);
      const sids = Array.from({ length: commands.state.produced - from }, (_, i) =>
        bench.word(commands.state.pa + 16 * ((from + i) % 256)),
      ).filter((lo) => (lo & 0xffn) === 3n);
      expect(sids.map((lo) => lo >> 32n)).toEqual([7n, 7n, 0x107n, 0x107n]);
    });
  });
});

describe('Masters: a device that goes while its request is reported (IOPF-26, L57)', () => {
  /** An event of a device is handled while the device is released, in one random order. */
  function race(parts: NonNullable<BenchOptions['parts']>, seed: number): string {
    const bench = new Bench({ parts });
    const { driver, kernel } = bench;
    bench.do(function* () {
      yield* driver.start();
      yield* driver.probeDevice(bench.device);
    });
    const before = kernel.slabs.counts().find(([name]) => name === 'smmuv3 master')![1];
    kernel.spawn('irq', () => driver.smmu.events.handle(RECORD));
    kernel.spawn('remove', () => driver.releaseDevice(bench.device));
    kernel.begin(new RandomChooser(seed));
    try {
      const outcome = kernel.run();
      if (outcome.end === 'violation') return outcome.violation.invariant;
      if (outcome.end !== 'finished') return outcome.end;
    } catch (error) {
      return (error as Error).name;
    }
    const after = kernel.slabs.counts().find(([name]) => name === 'smmuv3 master')![1];
    return after === before - 1 ? '' : 'leak';
  }

  function ends(parts: NonNullable<BenchOptions['parts']>): Set<string> {
    return new Set(Array.from({ length: 60 }, (_, seed) => race(parts, seed + 1)));
  }

  it('stays until the report is done', () => {
    expect(ends({})).toEqual(new Set(['']));
  });

  it('is touched after its end without the lock (report-without-device-lock)', () => {
    class NoLock extends Masters {
      override lockStreams(): ReturnType<Masters['lockStreams']> {
        return this.smmu.kernel.done<Mutex | null>(null);
      }
    }
    const found = ends({ ...smmuv3Parts, Masters: NoLock });
    expect(found.has('INV-9') || found.has('UseAfterFree')).toBe(true);
  });

  it('is never freed when a lookup keeps its reference (lookup-leak)', () => {
    class Keeping extends Masters {
      override putLookup(): void {}
    }
    expect(ends({ Masters: Keeping })).toContain('leak');
  });
});

describe('releaseDevice', () => {
  it('refuses while a feature is on, and succeeds in every other state (FEAT-2)', () => {
    const bench = new Bench();
    const { driver, device } = bench;
    const before = (): Record<string, number> => ({ ...bench.inUse(), frames: 0 });
    bench.do(function* () {
      yield* driver.start();
      const empty = before();
      const release = (): Coroutine<string> => codeOf(driver.releaseDevice(device));
      expect(yield* release()).toBe('ENODEV');
      yield* driver.probeDevice(device);
      expect(yield* release()).toBe('none');
      yield* driver.probeDevice(device);
      yield* driver.enable(device, 'iopf');
      expect(yield* release()).toBe('EBUSY');
      yield* driver.enable(device, 'sva');
      expect(yield* release()).toBe('EBUSY');
      yield* driver.disable(device, 'sva');
      expect(yield* release()).toBe('EBUSY');
      yield* driver.disable(device, 'iopf');
      const domain = yield* driver.allocDomain(device);
      yield* driver.attach(device, domain);
      expect(yield* release()).toBe('none');
      yield* driver.freeDomain(domain);
      yield* bench.kernel.rcu.synchronize();
      expect(before()).toEqual(empty);
    });
  });
});
