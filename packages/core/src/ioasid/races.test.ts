import { type Coroutine, isIommuError, RandomChooser, Rng, UseAfterFree } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { census, type SmallKernel, smallKernel } from '../../test/small-kernel.js';
import { INVALID_IOASID, type Ioasid, type IoasidSet } from './ioasid.js';
import { IoasidAllocator } from './ioasid-allocator.js';

const SET: IoasidSet = { name: 'test' };
/** Fewer numbers than the tasks want, so that one is the next owner's as soon as it is free. */
const NUMBERS = 3;

/** A number as those who hold it know it: `refs` of them, with the owner that was allocated with it. */
interface Known {
  readonly id: number;
  readonly owner: object;
  refs: number;
  freed: boolean;
}

/** Who holds what, beside the allocator's own books. */
class Books {
  readonly small: SmallKernel;
  readonly held = new Map<number, Known>();
  readonly owners = new Set<unknown>();
  /** References that one task took for another. */
  readonly gifts: Known[] = [];

  constructor(small: SmallKernel) {
    this.small = small;
  }

  *alloc(mine: Known[]): Coroutine<void> {
    const { ioasid } = this.small.core;
    const owner = {};
    this.owners.add(owner);
    yield* ioasid.lock.turn();
    const id = ioasid.alloc(SET, 1, NUMBERS, owner);
    if (id === INVALID_IOASID) {
      this.expect(this.held.size === NUMBERS, 'no number is free, though one is');
      return;
    }
    this.expect(!this.held.has(id), `PASID ${id} is handed out while somebody holds it`);
    const known: Known = { id, owner, refs: 1, freed: false };
    this.held.set(id, known);
    mine.push(known);
  }

  *give(known: Known): Coroutine<void> {
    const { ioasid } = this.small.core;
    yield* ioasid.lock.turn();
    try {
      ioasid.get(known.id);
    } catch (error) {
      if (!isIommuError(error, 'ENOENT')) throw error;
      this.expect(known.freed, `PASID ${known.id} is not freed, and has no reference to give`);
      return;
    }
    known.refs++;
    this.gifts.push(known);
    this.expect(!known.freed, `PASID ${known.id} is freed, and gets a holder`);
  }

  *put(known: Known): Coroutine<void> {
    const { ioasid } = this.small.core;
    yield* ioasid.lock.turn();
    this.dropped(known);
    this.expect(ioasid.put(known.id) === (known.refs === 0), `the last put of PASID ${known.id} is another one`);
  }

  *free(known: Known): Coroutine<void> {
    const { ioasid } = this.small.core;
    yield* ioasid.lock.turn();
    known.freed = true;
    this.dropped(known);
    ioasid.free(known.id);
    if (known.refs > 0) ioasid.free(known.id);
  }

  *find(known: Known): Coroutine<void> {
    const { kernel, ioasid } = this.small.core;
    const active = !known.freed;
    try {
      const found = yield* ioasid.find(SET, known.id, function* () {
        yield* kernel.point(ioasid.lock.footprint, false);
        return true;
      });
      this.expect(active && found === known.owner, `PASID ${known.id} stands for something else`);
    } catch (error) {
      if (!isIommuError(error, 'ENOENT')) throw error;
      this.expect(known.freed, `PASID ${known.id} is held and not found`);
    }
  }

  /** Looks numbers up without holding them: finds nothing, or whatever they stand for at the moment. */
  *look(rng: Rng): Coroutine<void> {
    for (let i = 0; i < 6; i++) {
      const id = 1 + rng.below(NUMBERS);
      try {
        this.expect(this.owners.has(yield* this.small.core.ioasid.find(SET, id)), `PASID ${id} stands for nobody`);
      } catch (error) {
        if (error instanceof UseAfterFree) return;
        if (!isIommuError(error, 'ENOENT')) throw error;
      }
    }
  }

  dropped(known: Known): void {
    if (--known.refs === 0) this.held.delete(known.id);
  }

  expect(holds: boolean, otherwise: string): void {
    if (!holds) this.small.kernel.violate('INV-4', otherwise);
  }

  /** A life of random operations that ends with empty hands. */
  *life(rng: Rng): Coroutine<void> {
    const owned: Known[] = [];
    const gifts: Known[] = [];
    for (let i = 0; i < 6; i++) {
      const gift = this.gifts.pop();
      if (gift !== undefined) gifts.push(gift);
      const known = gifts[0] ?? owned[0];
      const dice = rng.below(5);
      if (known === undefined || dice === 0) yield* this.alloc(owned);
      else if (dice === 1) yield* this.give(known);
      else if (dice === 2) yield* this.find(known);
      else if (dice === 3 && gifts.length > 0) yield* this.put(gifts.shift()!);
      else if (dice === 4 && owned.length > 0) yield* this.free(owned.shift()!);
    }
    while (owned.length > 0) yield* this.free(owned.pop()!);
    while (gifts.length > 0) yield* this.put(gifts.pop()!);
  }
}

/** The story of the first of `runs` random schedules that goes wrong, or null. */
function firstFailure(part: typeof IoasidAllocator, runs: number): string | null {
  const small = smallKernel({ parts: { IoasidAllocator: part } });
  const checkpoint = small.kernel.checkpoints.take();
  for (let run = 0; run < runs; run++) {
    checkpoint.restore();
    const books = new Books(small);
    for (const name of ['a', 'b', 'c']) {
      const rng = new Rng(name.charCodeAt(0), run);
      small.kernel.spawn(name, () => books.life(rng));
    }
    small.kernel.spawn('finder', () => books.look(new Rng(8, run)));
    const outcome = small.run(new RandomChooser(7, run));
    if (outcome.end !== 'finished') return outcome.end === 'violation' ? outcome.violation.story : outcome.end;
    // Nobody takes what is given to a task that ended.
    small.act(function* () {
      for (const gift of books.gifts) yield* books.put(gift);
    });
    const [now, then] = [JSON.stringify(census(small.core)), JSON.stringify(small.baseline)];
    if (now !== then) return `left behind: ${now}`;
  }
  return null;
}

describe('several tasks that allocate, take, give, find, put and free', () => {
  it('never get a number that somebody holds, and leave nothing behind (INV-4, INV-9, IOASID-13, IOASID-14)', () => {
    expect(firstFailure(IoasidAllocator, 3000)).toBe(null);
  });

  it('notice a get that ignores INACTIVE (broken IOASID-13)', () => {
    class GetIgnoresInactive extends IoasidAllocator {
      override checkGettable(): void {}
    }
    expect(firstFailure(GetIgnoresInactive, 200)).toMatch(/is freed, and gets a holder/);
  });

  it('notice a free that ignores references (broken IOASID-13)', () => {
    class FreeIgnoresReferences extends IoasidAllocator {
      override dropFreed(record: Ioasid): void {
        record.refs = 1;
        this.drop(record);
      }
    }
    expect(firstFailure(FreeIgnoresReferences, 200)).not.toBe(null);
  });

  it('notice a second free that counts (broken IOASID-13)', () => {
    class FreeTwiceDecrements extends IoasidAllocator {
      override freedAgain(record: Ioasid): void {
        this.drop(record);
      }
    }
    expect(firstFailure(FreeTwiceDecrements, 200)).not.toBe(null);
  });

  it('notice a number that another one takes while it is freed (broken IOASID-13)', () => {
    class ReusesFreed extends IoasidAllocator {
      override deactivate(record: Ioasid): void {
        super.deactivate(record);
        this.space.ids.delete(record.id);
        this.space.freed(record.id);
      }
    }
    expect(firstFailure(ReusesFreed, 200)).not.toBe(null);
  });

  it('notice a record that is freed while a lookup looks at it (broken IOASID-8, IOASID-11)', () => {
    class FreesAtOnce extends IoasidAllocator {
      override freeRecord(record: Ioasid): void {
        this.slab.free(record);
      }
    }
    expect(firstFailure(FreesAtOnce, 200)).toMatch(/was freed by .* is touched/);
  });
});
