import type { Coroutine, Settings } from '@iommukit/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { at, codeOf, load, store } from '../../test/address-space.js';
import { SecondaryTlb } from '../../test/secondary-tlb.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import { CopyOnWrite, type Core, type CoreParts, Forking, type Mm, PERM, Remapping } from '../index.js';

/** Places are counted in CPU pages down from the top: few, so that operations meet. */
const place = fc.integer({ min: 1, max: 10 });
const count = fc.integer({ min: 1, max: 4 });
const who = fc.nat(2);
const kind = <K extends string>(name: K) => fc.constant(name);
const operation = fc.oneof(
  fc.record({ do: kind('mmap'), who, place, pages: count, perm: fc.constantFrom(1, 3, 3, 3) }),
  fc.record({ do: kind('munmap'), who, place, pages: count }),
  fc.record({ do: kind('mprotect'), who, place, pages: count, perm: fc.constantFrom(0, 1, 3, 3) }),
  fc.record({ do: kind('mremap'), who, place, pages: count, to: count }),
  fc.record({ do: kind('dontneed'), who, place, pages: count }),
  fc.record({ do: kind('fork'), who }),
  fc.record({ do: kind('exit'), who }),
  fc.record({ do: kind('reclaim'), who, place }),
  fc.record({ do: kind('migrate'), who, place }),
  fc.record({ do: kind('store'), who, place, byte: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ do: kind('store'), who, place, byte: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ do: kind('load'), who, place }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

interface Page {
  readonly perm: number;
  readonly byte: number;
}

class WritableFork extends Forking {
  override *makeReadOnly(): Coroutine<void> {}
}
class ReusesAlways extends CopyOnWrite {
  override isReusable(): boolean {
    return true;
  }
}
class SilentRemapping extends Remapping {
  override *notifyOld(): Coroutine<void> {}
}

/** What an address space is, obviously. Keys are page numbers of the CPU's size. */
type Model = Map<number, Page>;

/** One process with its model and with somebody who caches its translations. */
interface Life {
  readonly mm: Mm;
  readonly model: Model;
  readonly tlb: SecondaryTlb;
}

class World {
  readonly core: Core;
  readonly lives: Life[] = [];
  readonly unit: number;
  readonly top: number;

  constructor(core: Core) {
    this.core = core;
    this.unit = core.format.pageFrames;
    this.top = 0x1000_0000 / this.unit;
  }

  *born(mm: Mm, model: Model): Coroutine<void> {
    const tlb = yield* new SecondaryTlb(this.core, mm).listen();
    this.lives.push({ mm, model, tlb });
  }

  *end({ mm, tlb }: Life): Coroutine<void> {
    yield* this.core.mms.put(mm);
    this.core.notifiers.put(tlb.subscription!);
  }

  bytes(pages: number): number {
    return pages * this.unit * 4096;
  }

  *take(op: Operation): Coroutine<void> {
    const life = this.lives[op.who % this.lives.length];
    if (life === undefined) return;
    const { mm, model } = life;
    const { mms } = this.core;
    const page = 'place' in op ? this.top - op.place : 0;
    const pages = 'pages' in op ? Array.from({ length: op.pages }, (_, i) => page + i) : [];
    switch (op.do) {
      case 'mmap': {
        const free = pages.every((p) => !model.has(p));
        const code = yield* codeOf(mms.mmap(mm, this.bytes(op.pages), op.perm, null, { at: at(page * this.unit) }));
        expect(code).toBe(free ? 'none' : 'EEXIST');
        if (free) for (const p of pages) model.set(p, { perm: op.perm, byte: 0 });
        return;
      }
      case 'munmap':
        yield* mms.munmap(mm, at(page * this.unit), this.bytes(op.pages));
        for (const p of pages) model.delete(p);
        return;
      case 'mprotect': {
        const whole = pages.every((p) => model.has(p));
        const code = yield* codeOf(mms.mprotect(mm, at(page * this.unit), this.bytes(op.pages), op.perm));
        expect(code).toBe(whole ? 'none' : 'ENOMEM');
        if (whole) for (const p of pages) model.set(p, { perm: op.perm, byte: model.get(p)!.byte });
        return;
      }
      case 'mremap':
        return yield* this.mremap(life, page, op.pages, op.to);
      case 'dontneed': {
        const whole = pages.every((p) => model.has(p));
        const code = yield* codeOf(mms.madviseDontneed(mm, at(page * this.unit), this.bytes(op.pages)));
        expect(code).toBe(whole ? 'none' : 'ENOMEM');
        for (const p of pages) if (model.has(p)) model.set(p, { perm: model.get(p)!.perm, byte: 0 });
        return;
      }
      case 'fork':
        if (this.lives.length < 3) yield* this.born(yield* mms.fork(mm), new Map(model));
        return;
      case 'exit':
        if (this.lives.length > 1) yield* this.end(this.lives.splice(this.lives.indexOf(life), 1)[0]!);
        return;
      case 'reclaim':
        yield* mms.reclaim(mm, page * this.unit);
        return;
      case 'migrate':
        yield* mms.migrate(mm, page * this.unit);
        return;
      case 'store': {
        const there = model.get(page);
        const allowed = there !== undefined && (there.perm & PERM.WRITE) !== 0;
        expect(yield* codeOf(store(this.core, mm, page * this.unit, op.byte))).toBe(allowed ? 'none' : 'EFAULT');
        if (allowed) model.set(page, { perm: there.perm, byte: op.byte });
        return;
      }
      case 'load':
        return yield* this.check(life, page);
    }
  }

  *check({ mm, model }: Life, page: number): Coroutine<void> {
    const there = model.get(page);
    if (there !== undefined && (there.perm & PERM.READ) !== 0)
      expect(yield* load(this.core, mm, page * this.unit)).toBe(there.byte);
    else expect(yield* codeOf(load(this.core, mm, page * this.unit))).toBe('EFAULT');
  }

  *mremap({ mm, model }: Life, page: number, pages: number, to: number): Coroutine<void> {
    const { mappings } = this.core;
    const vma = mappings.find(mm, page * this.unit);
    const inside = vma !== null && vma.end >= (page + pages) * this.unit;
    const moved = { address: 0n };
    const code = yield* codeOf(this.remap(mm, page, pages, to, moved));
    expect(code).toBe(inside ? 'none' : 'EFAULT');
    if (!inside) return;
    const first = Number(moved.address >> 12n) / this.unit;
    const old = Array.from({ length: pages }, (_, i) => model.get(page + i)!);
    for (let i = 0; i < pages; i++) model.delete(page + i);
    for (let i = 0; i < to; i++) model.set(first + i, old[i] ?? { perm: old[0]!.perm, byte: 0 });
  }

  *remap(mm: Mm, page: number, pages: number, to: number, moved: { address: bigint }): Coroutine<void> {
    moved.address = yield* this.core.mms.mremap(mm, at(page * this.unit), this.bytes(pages), this.bytes(to));
  }

  /** Whatever was just done: mappings as in the model, and nobody has a translation that the tables do not say. */
  compare(): void {
    for (const { mm, model, tlb } of this.lives) {
      const mapped = mm.vmas.reduce((sum, { first, end }) => sum + (end - first) / this.unit, 0);
      expect(mapped).toBe(model.size);
      for (const [page, { perm }] of model) {
        expect(this.core.mappings.find(mm, page * this.unit)?.perm).toBe(perm);
        tlb.translate(page * this.unit);
      }
      for (let i = 1; i < mm.vmas.length; i++) expect(mm.vmas[i - 1]!.end).toBeLessThanOrEqual(mm.vmas[i]!.first);
    }
  }

  expectCoherent(): void {
    for (const { tlb } of this.lives) expect(tlb.stale()).toEqual([]);
  }
}

function run(operations: readonly Operation[], chosen: Settings, parts: Partial<CoreParts> = {}): void {
  const small = smallKernel({ settings: chosen, parts });
  const world = new World(small.core);
  small.act(function* () {
    yield* world.born(small.core.mms.create(), new Map());
    for (const op of operations) {
      yield* world.take(op);
      world.expectCoherent();
      world.compare();
    }
    for (const life of world.lives) {
      for (const page of life.model.keys()) yield* world.check(life, page);
    }
    world.expectCoherent();
    for (const life of world.lives) yield* world.end(life);
  });
  expect(census(small.core)).toEqual(small.baseline);
}

const settings: Settings[] = [
  {},
  { 'mn.duplicate': 'off', 'hw-af-dirty': 'on' },
  { 'cpu-page': '16K' },
  { 'cpu-page': '64K', 'hw-af-dirty': 'on' },
];

const operationsOf = fc.array(operation, { maxLength: 60, size: 'max' });

describe('processes', () => {
  it.each(settings)(
    'agree with flat maps after any sequence of operations, and leave nothing behind (%o)',
    (chosen) => {
      fc.assert(
        fc.property(operationsOf, (operations) => run(operations, chosen)),
        { numRuns: 60, seed: 20261121 },
      );
    },
  );

  it.each<[string, Partial<CoreParts>]>([
    ['fork leaves pages writable', { Forking: WritableFork }],
    ['a shared page is taken for an own one', { CopyOnWrite: ReusesAlways }],
    ['mremap leaves the old entries in caches', { Remapping: SilentRemapping }],
  ])('do not agree when %s', (_what, parts) => {
    const found = fc.check(
      fc.property(operationsOf, (operations) => run(operations, { 'hw-af-dirty': 'on', 'mn.duplicate': 'off' }, parts)),
      { numRuns: 300, seed: 20261121, endOnFailure: true },
    );
    expect(found.failed).toBe(true);
  });
});
