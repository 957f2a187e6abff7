import type { Core } from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, codeOf, SID } from '../test/bench.js';
import { type NotifierObject, SharedContexts, type Smmuv3Parts, Sva } from './index.js';

/** Everything that a failed bind may leave behind. */
function left(bench: Bench): Record<string, number> {
  const { core, driver } = bench;
  const { smmu } = driver;
  return {
    ...bench.inUse(),
    ...Object.fromEntries((core as Core).census()),
    numbers: smmu.asids.owners.size,
    entry: Number(bench.word(smmu.contexts.addressOf(smmu.masters.find(SID)!.domain!.contexts, 1)) & 0xffff_ffffn),
    users: [...smmu.masters.find(SID)!.bonds.values()].reduce((sum, { object }) => sum + object.users, 0),
  };
}

/** What a bind leaves behind when the first allocation of `kind` fails; {} is nothing. */
function leaks(parts: Partial<Smmuv3Parts>, kind: string): Record<string, number> {
  const bench = new Bench({ parts }).boot();
  const found: Record<string, number> = {};
  bench.do(function* () {
    const { driver, kernel, core } = bench;
    const { mm } = yield* bench.makeMm();
    const references = mm.count;
    const before = left(bench);
    kernel.injection.only = kind;
    kernel.injection.state.count = 0;
    kernel.injection.failAt = 1;
    expect(yield* codeOf(driver.bind(bench.device, mm))).not.toBe('none');
    kernel.injection.failAt = 0;
    yield* core.notifiers.synchronize();
    const after = left(bench);
    for (const [what, count] of Object.entries(after)) if (count !== before[what]) found[what] = count - before[what]!;
    if (mm.count !== references) found['references'] = mm.count - references;
  });
  return found;
}

/** Publishing fails after the entry was stored. */
class PublishFails extends Sva {
  override *publishEntry(object: NotifierObject): Coroutine<void> {
    yield* super.publishEntry(object);
    throw new IommuError('ETIMEDOUT', 'publishing was told to fail');
  }
}

class SkipsEntry extends PublishFails {
  override *unwindEntry(): Coroutine<void> {}
}

class SkipsPasid extends PublishFails {
  override *unwindPasid(): Coroutine<void> {}
}

class SkipsBond extends Sva {
  override *unwindBond(): Coroutine<void> {}
}

class SkipsUser extends Sva {
  override *unwindUser(): Coroutine<void> {}
}

class SkipsContext extends Sva {
  override *unwindContext(): Coroutine<void> {}
}

class SkipsRegistration extends Sva {
  override unwindRegistration(): void {}
}

class SkipsNotifierObject extends Sva {
  override unwindNotifierObject(): void {}
}

class SkipsPin extends SharedContexts {
  override *unwindAsidPin(): Coroutine<void> {}
}

class SkipsGrab extends SharedContexts {
  override unwindGrab(): void {}
}

class SkipsRecord extends SharedContexts {
  override unwindRecord(): void {}
}

/** The allocations of a bind, in order, by what the injection calls them. */
const NOTHING = 'nothing of this name';
const CONTEXT = 'smmuv3 shared context';
const NUMBER = 'smmuv3@9050000 ASID';
const BOND = 'sva bond';
const PASID = 'ioasid';

describe('a bind that fails leaves nothing behind (SVA-5, L32)', () => {
  it.each(['mmu notifier', 'smmuv3 notifier object', CONTEXT, NUMBER, BOND, PASID])('for want of a %s', (kind) => {
    expect(leaks({}, kind)).toEqual({});
  });

  it('in publishing its entry', () => {
    expect(leaks({ Sva: PublishFails }, NOTHING)).toEqual({});
  });

  it.each([
    ['unwind-skip-notifier-object', { Sva: SkipsNotifierObject }, CONTEXT, { 'smmuv3 notifier object': 1 }],
    ['unwind-skip-asid-pin', { SharedContexts: SkipsPin }, NUMBER, { 'pinned ASIDs': 1 }],
    ['the reference of the context', { SharedContexts: SkipsGrab }, NUMBER, { references: 1 }],
    ['the record of the context', { SharedContexts: SkipsRecord }, NUMBER, { [CONTEXT]: 1 }],
    ['unwind-skip-cd', { Sva: SkipsContext }, BOND, { [CONTEXT]: 1, numbers: 1, 'pinned ASIDs': 1, references: 1 }],
    ['unwind-skip-notifier', { Sva: SkipsRegistration }, BOND, { 'mmu notifier': 1 }],
    ['unwind-skip-bond', { Sva: SkipsBond }, PASID, { [BOND]: 1 }],
    ['unwind-skip-pasid', { Sva: SkipsPasid }, NOTHING, { PASIDs: 1 }],
    ['unwind-skip-entry', { Sva: SkipsEntry }, NOTHING, { entry: 0xc000_3510 }],
  ] as [string, Partial<Smmuv3Parts>, string, Record<string, number>][])(
    'unless it skips a step: %s',
    (_, parts, kind, found) => {
      expect(leaks(parts, kind)).toMatchObject(found);
    },
  );

  it('unless the count of users is left one too high: the entry outlives its last bond (unwind-skip-domain-pointer)', () => {
    const entries = [Sva, SkipsUser].map((Part) => {
      const bench = new Bench({ parts: { Sva: Part } }).boot();
      let entry = 0n;
      bench.do(function* () {
        const { driver, kernel } = bench;
        const domain = driver.smmu.masters.find(SID)!.domain!;
        const third = yield* bench.plug('third', 0x60, {}, false);
        yield* driver.attach(third, domain);
        yield* bench.enableSva(third);
        const { mm } = yield* bench.makeMm();
        const handle = yield* driver.bind(bench.device, mm);
        kernel.injection.only = BOND;
        kernel.injection.state.count = 0;
        kernel.injection.failAt = 1;
        expect(yield* codeOf(driver.bind(third, mm))).toBe('ENOMEM');
        kernel.injection.failAt = 0;
        yield* driver.unbind(handle);
        entry = bench.word(driver.smmu.contexts.addressOf(domain.contexts, 1));
      });
      return entry;
    });
    expect(entries[0]).toBe(0n);
    expect(entries[1]).not.toBe(0n);
  });
});
