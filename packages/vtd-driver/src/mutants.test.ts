import {
  type Coroutine,
  type Kernel,
  Observer,
  type Outcome,
  type PhysicalMemory,
  RandomChooser,
} from '@iommukit/kernel';
import { Oracles } from '@iommukit/oracles';
import { describe, expect, it } from 'vitest';
import { RID, Stack, type StackOptions } from '../test/stack.js';
import {
  type Bond,
  Invalidation,
  InvalidationQueue,
  Masters,
  PasidTables,
  Sva,
  type Svm,
  type VtdParts,
} from './index.js';

/** Schedules within which a broken step must be found. */
const SCHEDULES = 60;
/** Schedules in which nothing is found when no step is broken. */
const CLEAN = 25;

const observe = (kernel: Kernel, memory: PhysicalMemory): Oracles => new Oracles(kernel, memory);

/** A program for a started stack. */
type Program = (stack: Stack) => Coroutine<void>;

/** The first invariant that `program` breaks under random schedules, or 'none'. */
function broken(parts: Partial<VtdParts>, program: Program, options: StackOptions = {}, iopf = true): string {
  const schedules = Object.keys(parts).length === 0 ? CLEAN : SCHEDULES;
  for (let seed = 1; seed <= schedules; seed++) {
    const stack = new Stack({ ...options, parts, observe }).boot(iopf);
    const before = stack.inUse();
    const outcome: Outcome = stack.run(() => program(stack), new RandomChooser(seed));
    if (outcome.end === 'violation') return outcome.violation.invariant;
    if (outcome.end === 'deadlock' || outcome.end === 'livelock') return 'INV-11';
    if (outcome.end !== 'finished') return outcome.end;
    const after = stack.inUse();
    if (Object.keys(after).some((key) => after[key] !== before[key])) return 'INV-9';
  }
  return 'none';
}

/** Runs `bodies` side by side, and returns when all are through. */
function* together(stack: Stack, bodies: readonly (() => Coroutine<unknown>)[]): Coroutine<void> {
  const { kernel } = stack;
  const word = kernel.footprint();
  let left = bodies.length;
  for (const [i, body] of bodies.entries()) {
    kernel.spawn(`part ${i}`, function* () {
      yield* body();
      left--;
      kernel.touch(word, true);
    });
  }
  yield* kernel.until(word, () => left === 0, 'the others');
}

/** Everything that a device can do to a page: translated by itself, and by the unit. */
function* use(stack: Stack, page: number, pasid = 1): Coroutine<void> {
  yield* stack.endpoint.access(pasid, page, true, 2);
  yield* stack.endpoint.untranslated(pasid, page);
}

/** The process dies while its device runs; then the number has a new owner, who is mapped at the same address. */
function* dying(stack: Stack): Coroutine<void> {
  const { mm, page } = yield* stack.makeMm();
  const handle = yield* stack.driver.bind(stack.device, mm);
  yield* use(stack, page);
  yield* together(stack, [() => stack.core.mms.put(mm), () => use(stack, page), () => use(stack, page)]);
  yield* use(stack, page);
  yield* stopped(stack);
  yield* stack.driver.unbind(handle);
  yield* reborn(stack, page);
}

/** Time moves when nothing is under way: every posted write of the device has arrived (SVA-12). */
function stopped(stack: Stack): Coroutine<void> {
  return stack.kernel.clock.sleep(1);
}

/** A living process lets the device go; then the number has a new owner. */
function* leaving(stack: Stack): Coroutine<void> {
  const { mm, page } = yield* stack.makeMm();
  const handle = yield* stack.driver.bind(stack.device, mm);
  yield* use(stack, page);
  yield* stopped(stack);
  yield* stack.driver.unbind(handle);
  yield* stack.core.mms.put(mm);
  yield* reborn(stack, page);
}

function* reborn(stack: Stack, page: number): Coroutine<void> {
  const next = yield* stack.makeMm();
  expect(next.page).toBe(page);
  const handle = yield* stack.driver.bind(stack.device, next.mm);
  yield* use(stack, page);
  yield* stopped(stack);
  yield* stack.driver.unbind(handle);
  yield* stack.core.mms.put(next.mm);
}

/** Pages go away under a running device, and have a new owner at once. */
function* unmapping(stack: Stack, pages = 4): Coroutine<void> {
  const { mm, va, page } = yield* stack.makeMm(pages);
  const handle = yield* stack.driver.bind(stack.device, mm);
  const [first, last] = [page, page + pages - 1];
  yield* use(stack, first);
  yield* use(stack, last);
  yield* together(stack, [
    () => stack.core.mms.munmap(mm, va, pages * 4096),
    () => use(stack, first),
    () => use(stack, last),
  ]);
  const other = yield* stack.makeMm();
  for (const at of [last, first]) yield* stack.endpoint.access(1, at, true, 1);
  yield* stopped(stack);
  yield* stack.driver.unbind(handle);
  yield* stack.core.mms.put(mm);
  yield* stack.core.mms.put(other.mm);
}

/** The last page has a power of two of its own: rounding does not cover it. */
function* unmappingTwo(stack: Stack): Coroutine<void> {
  yield* unmapping(stack, 2);
}

/** One process on two devices. */
function* twoDevices(stack: Stack): Coroutine<void> {
  const [second, device] = stack.connect('0000:00:04.0', 0x20);
  yield* stack.add(device);
  const { mm, va, page } = yield* stack.makeMm();
  const handles = [yield* stack.driver.bind(stack.device, mm), yield* stack.driver.bind(device, mm)];
  yield* second.access(1, page);
  yield* stack.core.mms.munmap(mm, va, 4096);
  yield* second.access(1, page, true, 1);
  for (const handle of handles) yield* stack.driver.unbind(handle);
  yield* stack.core.mms.put(mm);
  yield* stack.remove(device);
}

/** Death and unbind from different tasks. */
function* racing(stack: Stack): Coroutine<void> {
  const { mm, page } = yield* stack.makeMm();
  const handle = yield* stack.driver.bind(stack.device, mm);
  yield* use(stack, page);
  yield* stopped(stack);
  yield* together(stack, [() => stack.core.mms.put(mm), () => stack.driver.unbind(handle)]);
}

describe('the driver breaks no invariant in', () => {
  it.each([
    ['dying', dying],
    ['leaving', leaving],
    ['unmapping', unmapping],
    ['two devices', twoDevices],
    ['racing', racing],
  ] as [string, Program][])('%s', (_, program) => {
    expect(broken({}, program)).toBe('none');
    expect(broken({}, program, { settings: { gait: 'stepwise', 'caching-mode': 'on' } })).toBe('none');
  });
});

/** No device sends page requests: an unbind then drains nothing, which would drop translations too (VTD-28c). */
class WithoutPri extends Masters {
  override *whyNoPri(): Coroutine<string> {
    return 'nobody wants any';
  }
}

class KeepsEntry extends Sva {
  override *release(subscription: { data: unknown }): Coroutine<void> {
    this.markCleared(subscription.data as Svm);
  }
}

class FlushesFirst extends Sva {
  override *quiesce(bond: Bond): Coroutine<void> {
    yield* this.flushPasidCache(bond);
    yield* this.flushIotlb(bond);
    yield* this.flushDevTlbs(bond);
    yield* this.quiesceEntry(bond);
    yield* this.eraseQuiesced(bond);
  }
}

class ClearsEarly extends Sva {
  override *release(subscription: { data: unknown }): Coroutine<void> {
    const svm = subscription.data as Svm;
    const lock = yield* this.lockSvm(svm);
    const bonds = svm.cleared ? [] : [...svm.bonds];
    for (const bond of bonds) yield* this.quiesceEntry(bond);
    this.markCleared(svm);
    this.unlockSvm(lock);
    for (const bond of bonds) {
      yield* this.flushPasidCache(bond);
      yield* this.flushIotlb(bond);
      yield* this.flushDevTlbs(bond);
    }
  }
}

class NotIdempotent extends Sva {
  override isCleared(): boolean {
    return false;
  }
}

class FreesAtOnce extends Sva {
  override *putSvm(svm: Svm): Coroutine<void> {
    if (svm.bonds.length > 0) return;
    this.byMm.delete(svm.mm);
    const { subscription } = svm;
    this.svms.free(svm);
    yield* this.vtd.core.notifiers.unregister(subscription!);
  }
}

class NotSynced extends InvalidationQueue {
  override submitAndSync(batch: Parameters<InvalidationQueue['submit']>[0]): Coroutine<void> {
    return this.submit(batch);
  }
}

class ZeroesAtOnce extends PasidTables {
  override block(master: Parameters<PasidTables['block']>[0], pasid: number, quiet: boolean): Coroutine<void> {
    return this.erase(master, pasid, quiet);
  }
}

const skipping = (step: 'flushIotlb' | 'flushDevTlbs' | 'flushPasidCache' | 'flushAll' | 'flushFreedEntry') => {
  class Skips extends Sva {}
  Skips.prototype[step] = function* () {};
  return Skips;
};

const inRange = (change: (range: { first: number; last: number }) => { first: number; last: number }) =>
  class extends Sva {
    override rangeOf(start: bigint, end: bigint) {
      return change(super.rangeOf(start, end));
    }
  };

describe('a broken step is found (litmus.md)', () => {
  it.each([
    ['release-keeps-entry (L03)', { Sva: KeepsEntry }, dying, ['INV-1', 'INV-2', 'INV-7']],
    ['release-flush-then-block (L04)', { Sva: FlushesFirst }, dying, ['INV-1', 'INV-2', 'INV-7']],
    ['release-no-pasid-cache (L04)', { Sva: skipping('flushPasidCache') }, dying, ['INV-1', 'INV-2', 'INV-7']],
    ['release-no-devtlb (L04)', { Sva: skipping('flushDevTlbs') }, dying, ['INV-1', 'INV-7']],
    ['release-not-idempotent (L05)', { Sva: NotIdempotent }, leaving, ['INV-18']],
    ['unbind-frees-without-grace (L05)', { Sva: FreesAtOnce }, racing, ['INV-9']],
    ['cleared-before-flush (L06)', { Sva: ClearsEarly }, racing, ['INV-1', 'INV-7', 'INV-9']],
    [
      'unbind-no-pasid-cache (L25)',
      { Sva: skipping('flushFreedEntry') },
      leaving,
      ['INV-1', 'INV-2', 'INV-4', 'INV-7'],
    ],
    ['inv-no-devtlb (L39)', { Sva: noDevTlb() }, unmapping, ['INV-1', 'INV-7']],
    ['inv-no-iotlb (L39)', { Sva: noIotlb() }, unmapping, ['INV-1', 'INV-7']],
    ['inv-no-sync (L40)', { InvalidationQueue: NotSynced }, unmapping, ['INV-1', 'INV-2', 'INV-7']],
    [
      'inv-off-by-one (L44)',
      { Sva: inRange(({ first, last }) => ({ first, last: last - 1 })) },
      unmappingTwo,
      ['INV-1', 'INV-7'],
    ],
    ['devtlb-encode-wrong (L44)', { Invalidation: wrongSpan() }, unmapping, ['INV-1', 'INV-7']],
    ['svm-list-misses-device (L33)', { Sva: firstOnly() }, twoDevices, ['INV-1', 'INV-7']],
  ] as [string, Partial<VtdParts>, Program, string[]][])('%s', (_, parts, program, invariants) => {
    expect(invariants).toContain(broken(parts, program));
  });

  it.each([
    ['release-no-iotlb (L04)', { Sva: skipping('flushIotlb'), Masters: WithoutPri }, dying],
    ['unbind-no-flush (L25)', { Sva: skipping('flushAll'), Masters: WithoutPri }, leaving],
  ] as [string, Partial<VtdParts>, Program][])('%s, where no drain drops translations', (_, parts, program) => {
    expect(['INV-1', 'INV-2', 'INV-4', 'INV-7']).toContain(broken(parts, program, {}, false));
  });

  it.each([
    ['no step', {}, 1],
    ['teardown-zero-at-once (L48)', { PasidTables: ZeroesAtOnce }, 2],
    ['setup-present-first (L48)', { PasidTables: presentFirst() }, 2],
  ] as [string, Partial<VtdParts>, number][])(
    '%s shows hardware an entry of two versions, or not (TLB-4)',
    (_, parts, versions) => {
      const seen = new Set<string>();
      class Watching extends Observer {
        override entry(_agent: string, what: string, _pa: number, words: Uint32Array): void {
          if (what === 'PASID entry' && (words[0]! & 1) !== 0) seen.add(`${words[2] !== 0} ${words[4] !== 0}`);
        }
      }
      const schedules = versions === 1 ? CLEAN : 5 * SCHEDULES;
      for (let seed = 1; seed <= schedules && seen.size < 2; seed++) {
        const stack = new Stack({ parts, settings: { gait: 'stepwise' }, observe: () => new Watching() }).boot();
        stack.run(function* () {
          const { mm, page } = yield* stack.makeMm();
          const { pasids, masters, invalidation } = stack.driver.vtd;
          const master = masters.find(RID)!;
          const image = pasids.imageOf({ pgd: mm.pgd, levels: 4 });
          yield* together(stack, [
            function* () {
              for (let i = 0; i < 20; i++) {
                yield* pasids.install(master, 1, image, 1);
                yield* pasids.block(master, 1, false);
                yield* invalidation.pasid(1, 1);
                yield* pasids.erase(master, 1, false);
              }
            },
            function* () {
              for (let i = 0; i < 30; i++) yield* stack.endpoint.untranslated(1, page);
            },
          ]);
        }, new RandomChooser(seed));
      }
      expect(Math.min(seen.size, 2)).toBe(versions);
    },
  );
});

function noDevTlb() {
  return class extends Sva {
    override *addDevTlbRange(): Coroutine<void> {}
  };
}

function noIotlb() {
  return class extends Sva {
    override addIotlbRange(): void {}
  };
}

function wrongSpan() {
  return class extends Invalidation {
    override deviceSpan({ base, order }: { base: number; order: number }) {
      return { addr: base, s: order === 0 ? 0 : 1 };
    }
  };
}

/** S0's fault: a device other than the first is not on the list that callbacks walk. */
function firstOnly() {
  return class extends Sva {
    override devicesOf(svm: Svm): readonly Bond[] {
      return svm.bonds.slice(0, 1);
    }
  };
}

function presentFirst() {
  return class extends PasidTables {
    override *install(...[master, pasid, image, did]: Parameters<PasidTables['install']>): Coroutine<void> {
      yield* this.storePresent(master, pasid, image);
      yield* this.storeFields(master, pasid, image);
      yield* this.flushAfterPresent(did, pasid);
    }
  };
}
