import type { Core } from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, codeOf, SID } from '../test/bench.js';
import { type Bond, Sva, type VtdParts } from './index.js';

/** Everything that a failed bind may leave behind. */
function left(bench: Bench): Record<string, number> {
  const { vtd } = bench.driver;
  const master = vtd.masters.find(SID)!;
  const pasid = 70;
  const leaf = master.directory!.leaves.get(Math.floor(pasid / 64));
  return {
    ...bench.inUse(),
    ...Object.fromEntries((bench.core as Core).census()),
    frames: bench.bus.frames.inUse() - (leaf === undefined ? 0 : 1),
    entry: leaf === undefined ? 0 : Number(bench.unit.word(vtd.pasids.addressOf(master, pasid))),
    spaces: vtd.sva.byMm.size,
    users: [...vtd.sva.byMm.values()].reduce((sum, { bonds }) => sum + bonds.length, 0),
    bound: master.bonds.size,
  };
}

/** What a bind leaves behind when the first allocation of `kind` fails; {} is nothing. */
function leaks(parts: Partial<VtdParts>, kind: string): Record<string, number> {
  const bench = new Bench({ parts }).boot();
  const found: Record<string, number> = {};
  bench.do(function* () {
    const { driver, kernel, core } = bench;
    // PASID 70 needs a table of its own.
    for (let i = 1; i < 70; i++) core.ioasid.alloc({ name: 'taken' }, i, i, null);
    const { mm } = yield* bench.makeMm();
    const references = mm.count;
    const before = left(bench);
    kernel.injection.only = kind;
    kernel.injection.state.count = 0;
    kernel.injection.failAt = 1;
    expect(yield* codeOf(driver.bind(bench.device, mm))).not.toBe('none');
    kernel.injection.failAt = 0;
    yield* core.notifiers.synchronize();
    yield* kernel.clock.sleep(1);
    const after = left(bench);
    for (const [what, count] of Object.entries(after)) if (count !== before[what]) found[what] = count - before[what]!;
    if (mm.count !== references) found['references'] = mm.count - references;
  });
  return found;
}

/** Publishing fails after the entry was stored. */
class PublishFails extends Sva {
  override *publishEntry(bond: Bond): Coroutine<void> {
    yield* super.publishEntry(bond);
    throw new IommuError('ETIMEDOUT', 'publishing was told to fail');
  }
}

class SkipsEntry extends PublishFails {
  override *unwindEntry(): Coroutine<void> {}
}

class SkipsListing extends PublishFails {
  override *unwindListing(): Coroutine<void> {}
}

class SkipsPasid extends PublishFails {
  override *unwindPasid(): Coroutine<void> {}
}

class SkipsBond extends Sva {
  override *unwindBond(): Coroutine<void> {}
}

class SkipsNotifier extends Sva {
  override *unwindNotifier(): Coroutine<void> {}
}

class SkipsSvm extends Sva {
  override *unwindSvm(): Coroutine<void> {}
}

const NOTHING = 'nothing of this name';

describe('a bind that fails leaves nothing behind (SVA-5, L32)', () => {
  it.each(['vtd svm', 'mmu notifier', 'sva bond', 'ioasid', 'frame'])('for want of a %s', (kind) => {
    expect(leaks({}, kind)).toEqual({});
  });

  it('in publishing its entry', () => {
    expect(leaks({ Sva: PublishFails }, NOTHING)).toEqual({});
  });

  it.each([
    ['unwind-skip-notifier-object', SkipsSvm, 'mmu notifier', { 'vtd svm': 1, spaces: 1 }],
    ['unwind-skip-notifier', SkipsNotifier, 'sva bond', { 'mmu notifier': 1, references: 1 }],
    ['unwind-skip-bond', SkipsBond, 'ioasid', { 'sva bond': 1 }],
    ['unwind-skip-pasid', SkipsPasid, NOTHING, { PASIDs: 1 }],
    ['unwind-skip-entry', SkipsEntry, NOTHING, { entry: 0x49 }],
  ] as [string, typeof Sva, string, Record<string, number>][])('unless it skips a step: %s', (_, Part, kind, found) => {
    expect(leaks({ Sva: Part }, kind)).toMatchObject(found);
  });

  it('unless the device stays on the list that callbacks walk', () => {
    const bench = new Bench({ parts: { Sva: SkipsListing } }).boot();
    const outcome = bench.run(function* () {
      const { mm, va } = yield* bench.makeMm();
      const other = yield* bench.plug('0000:00:04.0', 0x20);
      bench.driver.vtd.sva.publishEntry = Sva.prototype.publishEntry;
      const handle = yield* bench.driver.bind(other, mm);
      bench.driver.vtd.sva.publishEntry = SkipsListing.prototype.publishEntry;
      yield* codeOf(bench.driver.bind(bench.device, mm));
      yield* bench.kernel.clock.sleep(1);
      yield* bench.core.mms.munmap(mm, va, 4096);
      yield* bench.driver.unbind(handle);
    });
    expect(outcome).toMatchObject({ end: 'violation', violation: { invariant: 'INV-9' } });
  });

  it('and a second device’s failed bind leaves the first as it was', () => {
    class SecondFails extends Sva {
      override *publishEntry(bond: Bond): Coroutine<void> {
        yield* super.publishEntry(bond);
        if (bond.svm.bonds.length === 2) throw new IommuError('ETIMEDOUT', 'publishing was told to fail');
      }
    }
    const bench = new Bench({ parts: { Sva: SecondFails } }).boot();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      const other = yield* bench.plug('0000:00:04.0', 0x20);
      expect(yield* codeOf(bench.driver.bind(other, mm))).toBe('ETIMEDOUT');
      expect([bench.entry(1)[0], bench.entry(1, 0x20)]).toEqual([0x49n, []]);
      expect([mm.pasid, mm.subscriptions.length]).toEqual([1, 1]);
      yield* bench.core.mms.put(mm);
      expect(bench.entry(1)).toEqual([2n]);
      yield* bench.driver.unbind(handle);
    });
  });
});
