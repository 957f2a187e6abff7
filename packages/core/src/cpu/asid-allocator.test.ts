import { isIommuError } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { asidBench, byHand } from '../../test/asid-model.js';
import { smallKernel } from '../../test/small-kernel.js';
import { AsidAllocator, asidIn, type Cpu, type Mm, PERM } from '../index.js';

/** Contexts as `generation:asid`. */
function shown(mm: Mm): string {
  return `${Math.floor(mm.asidContext / 65536)}:${mm.asidContext % 65536}`;
}

describe('AsidAllocator', () => {
  it('has 256 or 65536 numbers, and contexts of 16 bits of number below the generation (ASID-1)', () => {
    expect(asidBench({}).asids.numbers).toBe(65536);
    const { asids, mm } = asidBench({}, { cpu: { asidBits: 8 } });
    expect(asids.numbers).toBe(256);
    expect(asids.enter(0, mm(0))).toBe(1);
    expect(mm(0).asidContext).toBe(0x1_0001);
    expect(asidIn(0x5_0007)).toBe(7);
  });

  it('knows a context of its generation, and no other (ASID-2)', () => {
    const { asids } = asidBench({ asids: 8 });
    expect([0, 7, 0x1_0007, 0x1_ffff, 0x2_0007].map((context) => asids.matches(context))).toEqual([
      false,
      false,
      true,
      true,
      false,
    ]);
  });

  it('goes by the slow path at first, after a roll-over, and with an old context; else by the fast one (ASID-3)', () => {
    const path: string[] = [];
    class Noted extends AsidAllocator {
      override switchSlow(cpu: number, mm: Mm): void {
        path.push(`cpu${cpu} mm:${mm.id}`);
        super.switchSlow(cpu, mm);
      }
    }
    const { asids, mm } = asidBench({ asids: 4, cpus: 1 }, { parts: { AsidAllocator: Noted } });
    for (const n of [0, 1, 0, 1, 0, 0]) asids.enter(0, mm(n));
    expect(path.splice(0)).toEqual(['cpu0 mm:1', 'cpu0 mm:2']);
    // Three numbers: the fourth mm rolls over, and nobody else is of the new generation.
    for (const n of [2, 3, 0, 3]) asids.enter(0, mm(n));
    expect(path).toEqual(['cpu0 mm:3', 'cpu0 mm:4', 'cpu0 mm:1']);
    expect([0, 1, 2, 3].map((n) => shown(mm(n)))).toEqual(['2:2', '1:2', '1:3', '2:1']);
  });

  it("flushes a CPU's own TLB once after a roll-over, before it runs with a new number (ASID-4)", () => {
    const { asids, mm } = asidBench({ asids: 4, cpus: 2 });
    const flushed: number[] = [];
    asids.core.tlb.flushLocal = (cpu) => flushed.push(cpu);
    asids.enter(1, mm(9));
    for (const n of [0, 1, 2]) asids.enter(0, mm(n));
    expect(flushed).toEqual([0]);
    for (const n of [2, 9]) asids.enter(1, mm(n));
    expect(flushed).toEqual([0, 1]);
  });

  it('keeps the number of an mm that runs on a CPU since before the roll-over, in every slot (ASID-5)', () => {
    const { asids, mm } = asidBench({ asids: 5, cpus: 3 });
    asids.enter(0, mm(0));
    asids.enter(1, mm(0));
    for (const n of [1, 2, 3, 4]) asids.enter(2, mm(n));
    expect([...asids.reserved]).toEqual([0x1_0001, 0x1_0001, 0x1_0004]);
    asids.enter(2, mm(0));
    expect(shown(mm(0))).toBe('2:1');
    expect([...asids.reserved]).toEqual([0x2_0001, 0x2_0001, 0x1_0004]);
  });

  it('takes an old number back if it is still free, else the next one from its cursor (ASID-5)', () => {
    const { asids, mm } = asidBench({ asids: 6, cpus: 1 });
    for (const n of [0, 1, 2, 3, 4, 5]) asids.enter(0, mm(n));
    expect(shown(mm(5))).toBe('2:1');
    asids.enter(0, mm(3));
    expect(shown(mm(3))).toBe('2:4');
    asids.enter(0, mm(0));
    expect(shown(mm(0))).toBe('2:2');
  });

  it('begins a generation with pinned numbers and those of running CPUs taken, and searches from 1 (ASID-6)', () => {
    const { asids, mm } = asidBench({ asids: 8, cpus: 2 });
    for (const n of [0, 1, 2]) asids.enter(0, mm(n));
    expect(asids.hold(mm(1))).toBe(true);
    asids.enter(1, mm(3));
    for (const n of [4, 5, 6, 7]) asids.enter(0, mm(n));
    // mm:8 found none left: 2 is pinned, 4 runs on CPU 1, 7 ran on CPU 0.
    expect(shown(mm(7))).toBe('2:1');
    expect([...asids.used].sort()).toEqual([1, 2, 4, 7]);
    expect([...asids.flushPending]).toEqual([0, 1]);
    expect([...asids.active]).toEqual([0x2_0001, 0]);
    expect([...asids.reserved]).toEqual([0x1_0007, 0x1_0004]);
  });

  it('never hands out 0, and with pairs even numbers only, of which user accesses have the odd half (ASID-7)', () => {
    const { asids, mm } = asidBench({ asids: 16, cpus: 2 }, { cpu: { kpti: true } });
    expect([0, 1, 2, 3, 4, 5, 6].map((n) => asids.enter(0, mm(n)))).toEqual([3, 5, 7, 9, 11, 13, 15]);
    expect(mm(0).asidContext).toBe(0x1_0002);
    expect(asids.enter(0, mm(7))).toBe(3);
    expect(asids.mostPins()).toBe(16 / 2 - 2 - 2);
    expect(byHand(asids.pin(mm(7)))).toBe(3);
    expect(asids.asidOf(mm(9))).toBe(0);
  });

  it('starts with even numbers until the first roll-over if pairs could be needed (ASID-7)', () => {
    const { asids, mm } = asidBench({ asids: 8, cpus: 1 }, { cpu: { kptiBuilt: true } });
    expect([0, 1, 2, 3, 4, 5].map((n) => asids.enter(0, mm(n)))).toEqual([2, 4, 6, 1, 2, 3]);
    expect(asids.mostPins()).toBe(8 - 1 - 2);
  });

  it('pins at most what leaves every CPU a number and two more (ASID-8)', () => {
    const { asids, mm } = asidBench({ asids: 8, cpus: 2 });
    expect([0, 1, 2, 3, 4].map((n) => byHand(asids.pin(mm(n))))).toEqual([1, 2, 3, 4, 0]);
    expect(mm(4).asidPins).toBe(0);
    expect(asids.inUse()).toBe(4);
    expect(byHand(asids.pin(mm(2)))).toBe(3);
    // Three numbers are left, for two CPUs.
    for (let n = 5; n < 12; n++) expect(asids.enter(n % 2, mm(n))).toBeGreaterThan(4);
  });

  it('runs out of numbers for a CPU when pins have no limit (ASID-8)', () => {
    class Unlimited extends AsidAllocator {
      override mostPins(): number {
        return Number.POSITIVE_INFINITY;
      }
    }
    const { asids, kernel, mm } = asidBench({ asids: 8, cpus: 2 }, { parts: { AsidAllocator: Unlimited } });
    kernel.begin(kernel.chooser);
    for (let n = 0; n < 7; n++) byHand(asids.pin(mm(n)));
    asids.enter(0, mm(7));
    expect(kernel.outcome).toMatchObject({ end: 'violation', violation: { invariant: 'INV-11' } });
  });

  it('counts pins, gives a stale mm a number first, and frees the number at the next roll-over only (ASID-9)', () => {
    const { asids, mm } = asidBench({ asids: 6, cpus: 1 });
    for (const n of [0, 1, 2, 3, 4, 5]) asids.enter(0, mm(n));
    expect(shown(mm(1))).toBe('1:2');
    expect([byHand(asids.pin(mm(1))), byHand(asids.pin(mm(1)))]).toEqual([2, 2]);
    expect(shown(mm(1))).toBe('2:2');
    byHand(asids.unpin(mm(1)));
    expect([mm(1).asidPins, asids.inUse(), asids.pinned.has(2)]).toEqual([1, 1, true]);
    byHand(asids.unpin(mm(1)));
    expect([mm(1).asidPins, asids.inUse(), asids.pinned.has(2)]).toEqual([0, 0, false]);
    expect(asids.used.has(2)).toBe(true);
    asids.rollOver();
    expect(asids.used.has(2)).toBe(false);
  });

  it('reports a pin that is given back twice (ASID-9)', () => {
    const { asids, kernel, mm } = asidBench({});
    kernel.begin(kernel.chooser);
    byHand(asids.pin(mm(0)));
    byHand(asids.unpin(mm(0)));
    byHand(asids.unpin(mm(0)));
    expect(kernel.outcome).toMatchObject({ end: 'violation', violation: { invariant: 'INV-9' } });
  });

  it('keeps a pinned number over any number of generations (ASID-10, TLB-7)', () => {
    const { asids, mm } = asidBench({ asids: 8, cpus: 2 });
    for (let n = 0; n < 3; n++) asids.enter(0, mm(n));
    expect(byHand(asids.pin(mm(2)))).toBe(3);
    for (let n = 3; n < 60; n++) {
      asids.enter(n % 2, mm(n));
      expect([asids.asidOf(mm(2)), asids.running[n % 2] === 3]).toEqual([3, false]);
    }
    expect(asids.enter(1, mm(2))).toBe(3);
    expect(asids.state.generation / 65536).toBeGreaterThan(5);
  });

  it('refuses fewer numbers than its CPUs need, and more than their width allows', () => {
    const codes = [3, 4, 2.5, 65537].map((asids) => {
      try {
        asidBench({ asids, cpus: 2 });
        return 'taken';
      } catch (error) {
        return isIommuError(error) ? `${error.code} ${error.rule}` : 'no IommuError';
      }
    });
    expect(codes).toEqual(['EINVAL ASID-8', 'taken', 'EINVAL ASID-8', 'EINVAL ASID-8']);
  });

  it('is put back by a checkpoint', () => {
    const { asids, kernel, mm } = asidBench({ asids: 8, cpus: 2 });
    asids.enter(0, mm(0));
    byHand(asids.pin(mm(1)));
    const before = JSON.stringify([asids.state, [...asids.used], [...asids.pinned], [...asids.active]]);
    const { restore } = kernel.checkpoints.take();
    for (let n = 0; n < 20; n++) asids.enter(n % 2, mm(n));
    restore();
    expect(JSON.stringify([asids.state, [...asids.used], [...asids.pinned], [...asids.active]])).toBe(before);
    expect([...asids.flushPending, ...asids.running]).toEqual([0, 0, 1, 0]);
  });
});

describe('A process', () => {
  /** Two address spaces with different bytes at one address, switched until numbers roll over; what each reads back. */
  function readings(parts: { AsidAllocator?: typeof AsidAllocator; Cpu?: typeof Cpu } = {}): string[] {
    const small = smallKernel({ settings: { asids: 4, cpus: 1 }, parts });
    const { core } = small;
    const seen: string[] = [];
    small.act(function* () {
      const mms: Mm[] = [];
      let address = 0n;
      for (let i = 0; i < 5; i++) {
        const mm = core.mms.create();
        mms.push(mm);
        address = yield* core.mms.mmap(mm, 4096, PERM.READ | PERM.WRITE);
        yield* core.cpu.store(mm, address, Uint8Array.of(10 + i));
      }
      for (const [i, mm] of [...mms.entries(), ...mms.entries()]) {
        const into = new Uint8Array(1);
        yield* core.cpu.load(mm, address, into);
        if (into[0] !== 10 + i) seen.push(`mm ${i} reads ${into[0]}`);
      }
      for (const mm of mms) yield* core.mms.put(mm);
    });
    return seen;
  }

  it('reads its own bytes whatever number it has (ASID-4, ASID-6)', () => {
    expect(readings()).toEqual([]);
  });

  it("reads another's bytes when a CPU does not flush after a roll-over (ASID-4)", () => {
    class NeverFlushes extends AsidAllocator {
      override flushStale(cpu: number): void {
        this.flushPending[cpu] = 0;
      }
    }
    expect(readings({ AsidAllocator: NeverFlushes }).length).toBeGreaterThan(0);
  });
});
