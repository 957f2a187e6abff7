import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { at, filled, PAGE, RW, store } from '../../test/address-space.js';
import { SecondaryTlb } from '../../test/secondary-tlb.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import {
  CopyOnWrite,
  type Core,
  type CoreParts,
  FAULT_FLAG,
  Forking,
  Mappings,
  Migration,
  type Mm,
  PERM,
  Reclaim,
} from '../index.js';

const ROUNDS = 5;

/** Writes by its TLB, and asks for the page when it may not: a device that shares the address space. */
class TestDevice {
  readonly core: Core;
  readonly tlb: SecondaryTlb;
  readonly wrong: string[] = [];

  constructor(core: Core, tlb: SecondaryTlb) {
    this.core = core;
    this.tlb = tlb;
  }

  /** One byte of a page; the line that is found and the write are one step. */
  *write(page: number, offset: number, value: number): Coroutine<void> {
    const { bus, kernel } = this.core;
    for (let tries = 0; tries < 20; tries++) {
      yield* kernel.point(page, true);
      let line = this.tlb.lines.get(page);
      if (line === undefined) {
        this.tlb.translate(page);
        line = this.tlb.lines.get(page);
      } else if ((line.perm & PERM.WRITE) !== 0) {
        const story = bus.frames.story(line.frame);
        if (story !== null) this.wrong.push(story);
        else bus.write8(line.frame * 4096 + offset, value);
        return;
      }
      if (line === undefined || (line.perm & PERM.WRITE) === 0) yield* this.ask(page);
    }
    this.wrong.push('asks for ever');
  }

  *ask(page: number): Coroutine<void> {
    const { mm } = this.tlb;
    const lock = yield* mm.mmapLock.read();
    const vma = this.core.mms.findVma(mm, page)!;
    yield* this.core.pageFaults.handleMmFault(mm, vma, page, FAULT_FLAG.WRITE | FAULT_FLAG.REMOTE | FAULT_FLAG.USER);
    lock.release();
  }
}

/** A device and a CPU write to one page, each its own byte, while `act` happens to it. @returns what went wrong */
function schedule(
  seed: number,
  parts: Partial<CoreParts>,
  act: (core: Core, mm: Mm, page: number) => Coroutine<void>,
): string[] {
  const small = smallKernel({ parts, settings: { 'mn.duplicate': 'off' } });
  const { core, kernel } = small;
  const wrong: string[] = [];
  kernel.spawn('main', function* () {
    const mm = core.mms.create();
    const tlb = yield* new SecondaryTlb(core, mm).listen();
    const device = new TestDevice(core, tlb);
    const page = yield* filled(core, mm, 1);
    let running = 2;
    kernel.spawn('device', function* () {
      for (let value = 1; value <= ROUNDS; value++) yield* device.write(page, 100, value);
      running--;
    });
    kernel.spawn('cpu', function* () {
      for (let value = 1; value <= ROUNDS; value++) {
        yield* core.cpu.store(mm, at(page) + 200n, Uint8Array.of(value));
      }
      running--;
    });
    yield* act(core, mm, page);
    while (running > 0) yield* kernel.clock.sleep(1000);
    const into = new Uint8Array(256);
    yield* core.cpu.load(mm, at(page), into);
    if (into[100] !== ROUNDS || into[200] !== ROUNDS) wrong.push(`lost: ${into[100]} and ${into[200]}`);
    wrong.push(...device.wrong);
    yield* core.mms.put(mm);
    core.notifiers.put(tlb.subscription!);
  });
  const outcome = small.run(new RandomChooser(seed));
  if (outcome.end !== 'finished') return [JSON.stringify(outcome)];
  expect(census(core)).toEqual(small.baseline);
  return wrong;
}

/** A child is born; what it sees must not change any more. */
function* fork(core: Core, mm: Mm, page: number): Coroutine<void> {
  const child = yield* core.mms.fork(mm);
  const before = new Uint8Array(256);
  const after = new Uint8Array(256);
  yield* core.cpu.load(child, at(page), before);
  yield* core.kernel.clock.sleep(100);
  yield* core.cpu.load(child, at(page), after);
  const same = before.every((byte, i) => byte === after[i]);
  yield* core.mms.put(child);
  if (!same) throw new Error('the child sees a write of its parent');
}

function* migrate(core: Core, mm: Mm, page: number): Coroutine<void> {
  for (let i = 0; i < 3; i++) yield* core.mms.migrate(mm, page);
}

function* reclaim(core: Core, mm: Mm, page: number): Coroutine<void> {
  for (let i = 0; i < 3; i++) yield* core.mms.reclaim(mm, page);
}

/** Somebody else gets the frame at once. */
function* drop(core: Core, mm: Mm, page: number): Coroutine<void> {
  const other = core.mms.create();
  const address = yield* core.mms.mmap(other, PAGE, RW);
  yield* core.mms.migrate(mm, page);
  yield* store(core, other, Number(address >> 12n), 0);
  yield* core.kernel.clock.sleep(100);
  const seen = new Uint8Array(256);
  yield* core.cpu.load(other, address, seen);
  yield* core.mms.put(other);
  if (seen.some((byte) => byte !== 0)) throw new Error("a device writes to another process's page");
}

const operations = { fork, migrate, reclaim, drop };

function failures(what: keyof typeof operations, parts: Partial<CoreParts>, seeds: number): string[] {
  const found: string[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      found.push(...schedule(seed, parts, operations[what]));
    } catch (error) {
      found.push((error as Error).message);
    }
  }
  return found;
}

class SilentBreak extends CopyOnWrite {
  override *notifyClear(): Coroutine<void> {}
}
class SilentFork extends Forking {
  override *notifyParent(): Coroutine<void> {}
}
class SilentMigration extends Migration {
  override *notifyTaken(): Coroutine<void> {}
}
class SilentReclaim extends Reclaim {
  override *notifyTaken(): Coroutine<void> {}
}
class SilentMappings extends Mappings {
  override *notify(): Coroutine<void> {}
}

describe('a device and a CPU that write to one page', () => {
  it.each(['fork', 'migrate', 'reclaim', 'drop'] as const)(
    'lose nothing, and reach no frame that is not theirs, under any schedule: %s (MN-13, MN-18, PF-6)',
    (what) => {
      expect(failures(what, {}, 100)).toEqual([]);
    },
  );

  it.each<[string, keyof typeof operations, Partial<CoreParts>]>([
    ['fork-no-notify', 'fork', { Forking: SilentFork }],
    ['cow-no-notify', 'fork', { CopyOnWrite: SilentBreak }],
    ['migrate-no-notify', 'migrate', { Migration: SilentMigration }],
    ['migrate-no-notify, the frame is reused', 'drop', { Migration: SilentMigration }],
    ['reclaim-no-notify', 'reclaim', { Reclaim: SilentReclaim }],
    ['no notification at all', 'fork', { Mappings: SilentMappings }],
  ])('do under some schedule, with one step broken: %s (L42, L43)', (_mutant, what, parts) => {
    expect(failures(what, parts, 100)).not.toEqual([]);
  });
});
