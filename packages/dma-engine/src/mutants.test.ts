import { NO_PASID as FREE, type Mm, type OpenFile, type SvaHandle } from '@iommukit/core';
import { type Coroutine, Observer, type Outcome, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { DriverBench, type DriverBenchOptions, JOB, type User } from '../test/driver-bench.js';
import { DmaEngine, DmaEngineDriver, type EngineFile } from './index.js';

/** Watches for accesses and events of PASIDs that are bound to nothing. */
class Blame extends Observer {
  readonly bonds = new Set<number>();
  readonly found: string[] = [];

  override bound(_stream: number, pasid: number): void {
    this.bonds.add(pasid);
  }

  override unbound(_stream: number, pasid: number): void {
    this.bonds.delete(pasid);
  }

  override dma(_device: string, _stream: number, pasid: number): void {
    if (!this.bonds.has(pasid)) this.found.push(`an access with PASID ${pasid}`);
  }

  override event(_agent: string, _stream: number, pasid: number, name: string, stalled: boolean): void {
    if (!stalled) this.found.push(`${name} with PASID ${pasid}`);
  }
}

/** Runs a program in many schedules. @returns what was blamed, and how the runs ended that did not finish */
function explore(
  options: DriverBenchOptions,
  program: (bench: DriverBench, user: User) => Coroutine<void>,
): { found: Set<string>; ends: Set<Outcome['end']>; refusals: number } {
  const found = new Set<string>();
  const ends = new Set<Outcome['end']>();
  let refusals = 0;
  for (let seed = 1; seed <= 24; seed++) {
    const observer = new Blame();
    const bench = new DriverBench({ ...options, observer, capabilities: { pauseNs: 0 } }).boot();
    const outcome = bench.processes({ process: (user) => program(bench, user) }, new RandomChooser(seed));
    for (const story of observer.found) found.add(story);
    for (const line of bench.log) if (line.endsWith('status=failed')) found.add('a job that the IOMMU could not serve');
    if (outcome.end !== 'finished') ends.add(outcome.end);
    if (bench.driver.state.refusal !== '') refusals++;
  }
  return { found, ends, refusals };
}

/** Submits a runaway over a page that nobody touched, and unbinds some steps later. */
function* runaway(bench: DriverBench, user: User): Coroutine<void> {
  const word = bench.kernel.footprint();
  const file = yield* user.bound();
  const destination = yield* user.map(1);
  yield* bench.driver.submit(file, { ...JOB, destination, bytes: 4096, endless: true });
  for (let i = 0; i < 40; i++) yield* bench.kernel.point(word, true);
  yield* bench.driver.unbind(file);
}

const CLEAN = { found: new Set(), ends: new Set(), refusals: 0 };

describe('a driver that unbinds before it stops the device (SVA-12, L23)', () => {
  class UnbindsFirst extends DmaEngineDriver {
    override *detach(file: OpenFile, handle: SvaHandle): Coroutine<void> {
      yield* this.unshare(file, handle);
      yield* this.quiesce(file, handle.pasid);
    }
  }

  it.each([
    ['a PCI function', {}],
    ['a platform device', { platform: true }],
  ])('has a job, accesses or events of a PASID that is gone: %s', (_what, options) => {
    expect(explore(options, runaway)).toEqual(CLEAN);
    const { found } = explore({ ...options, engineDriver: { DmaEngineDriver: UnbindsFirst } }, runaway);
    expect(found.size).toBeGreaterThan(0);
  });
});

describe('a driver that stops the device under a lock that answering needs (IOPF-14, L23)', () => {
  class StopBlocks extends DmaEngineDriver {
    override *quiesce(file: OpenFile, pasid: number): Coroutine<void> {
      const lock = yield* ((file.data as EngineFile).handle!.mm as Mm).mmapLock.write();
      try {
        yield* super.quiesce(file, pasid);
      } finally {
        lock.release();
      }
    }
  }

  it('hangs with a device that waits for its answers, and passes with one that posts a marker', () => {
    const parts = { engineDriver: { DmaEngineDriver: StopBlocks } };
    const waits = explore({ ...parts, settings: { 'stop-kind': 'waits' } }, runaway);
    expect(waits.refusals + waits.ends.size).toBeGreaterThan(0);
    expect(explore({ ...parts, settings: { 'stop-kind': 'marker' } }, runaway)).toEqual(CLEAN);
  });
});

describe('a driver that tells the device the PASID before its entry is live (SVA-5, L34)', () => {
  class PublishesEarly extends DmaEngineDriver {
    override *share(context: EngineFile, mm: Mm): Coroutine<SvaHandle> {
      const pasid = this.core.sva.allocPasid(mm, 1, 1000);
      this.publish(context, pasid);
      try {
        return yield* super.share(context, mm);
      } finally {
        this.core.sva.freePasid(mm);
      }
    }
  }

  /** One thread binds, another one submits as soon as the file is being bound. */
  function* bindAndSubmit(bench: DriverBench, user: User): Coroutine<void> {
    const { driver, kernel } = bench;
    const file = yield* user.open();
    const destination = yield* user.map(1);
    let status = '';
    kernel.spawn('thread', function* () {
      yield* kernel.until(driver.idle.footprint, () => (file.data as EngineFile).phase !== 'unbound', 'a bind');
      yield* driver.submit(file, { ...JOB, destination });
      ({ status } = yield* driver.wait(file));
    });
    yield* driver.bind(file, user.mm);
    yield* kernel.clock.sleep(1e6);
    if (status !== 'done') bench.kernel.observer.event('engine', 0, FREE, `a job that ${status}`, false);
  }

  it.each([
    ['a PCI function', {}],
    ['a platform device', { platform: true }],
  ])('has jobs that fail, or unrecoverable records: %s', (_what, options) => {
    expect(explore(options, bindAndSubmit)).toEqual(CLEAN);
    const { found } = explore({ ...options, engineDriver: { DmaEngineDriver: PublishesEarly } }, bindAndSubmit);
    expect(found.size).toBeGreaterThan(0);
  });
});

describe('a device that posts its stop marker late (IOPF-13, L24)', () => {
  class LateMarker extends DmaEngine {
    override *stop(pasid: number): Coroutine<void> {
      yield* this.awaitJob(pasid);
      this.completeStop(pasid);
      yield* this.kernel.clock.sleep(pasid * 10);
      yield* this.postMarker(pasid);
    }
  }

  it('does no harm: it is neither handled nor answered, also when the PASID has a new owner', () => {
    const options = { engine: { DmaEngine: LateMarker }, settings: { 'stop-kind': 'marker' } };
    const seen = explore(options, function* (bench, user) {
      const { driver, kernel } = bench;
      for (let round = 0; round < 2; round++) {
        const file = yield* user.bound();
        const destination = yield* user.map(1);
        yield* driver.submit(file, { ...JOB, destination });
        yield* driver.wait(file);
        yield* driver.unbind(file);
        if (round === 0) yield* kernel.clock.sleep(4);
      }
      yield* kernel.clock.sleep(1000);
      const { fn, pri } = bench.engine as DmaEngine;
      // A response that nobody asked for would be Unexpected PRG Index.
      expect([fn.config.word(fn.offsets.pri + 4) & 0x30000, pri.state.outstanding]).toEqual([0, 0]);
    });
    expect(seen).toEqual(CLEAN);
  });
});
