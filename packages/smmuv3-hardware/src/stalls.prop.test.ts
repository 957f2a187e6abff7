import { RandomChooser } from '@iommukit/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';
import { type SmmuV3Parts, Stalls } from './index.js';

const PAGES = [0x100, 0x101, 0x102, 0x103];
const FRAME = 0x40800;
const S = 1n << 44n;
const SYNC = 0x0fc02046n;

interface Plan {
  readonly seed: number;
  readonly gait: string;
  readonly stallMax: number;
  /** Page, and whether it is a write. */
  readonly accesses: readonly (readonly [number, boolean])[];
  /** What software does to one stall after the other: 0 aborts, 1 terminates, others map the page and retry. */
  readonly answers: readonly number[];
  /** Before its n-th answer software invalidates everything, with a SYNC. */
  readonly invalidates: number;
}

const plan: fc.Arbitrary<Plan> = fc.record({
  seed: fc.integer({ min: 1, max: 1e6 }),
  gait: fc.constantFrom('atomic', 'stepwise'),
  stallMax: fc.integer({ min: 1, max: 6 }),
  accesses: fc.array(fc.tuple(fc.nat(PAGES.length - 1), fc.boolean()), { minLength: 1, maxLength: 24 }),
  answers: fc.array(fc.nat(9), { maxLength: 12 }),
  invalidates: fc.nat(12),
});

/** A device with many accesses in flight and a driver that answers stalls, in a random schedule. What each access came to, in order. */
function run({ seed, gait, stallMax, accesses, answers, invalidates }: Plan, parts: Partial<SmmuV3Parts> = {}) {
  const rig = new Rig({ stallMax, gait }, {}, parts).enable();
  const root = rig.cd(rig.cdTable(0x42, 6), 5, Rig.cd0(1, S));
  const link = rig.link(0x42, true);
  const stags = new Set<number>();
  let answered = 0;
  rig.kernel.spawn('device', function* () {
    for (const [n, [page, isWrite]] of accesses.entries()) {
      const access = { at: 0, tag: n, pasid: 5, page: PAGES[page], offset: 0, witness: 0 } as const;
      if (isWrite) yield* rig.smmu.receive(link, { ...access, kind: 'write', data: Uint8Array.of(n + 1) });
      else yield* rig.smmu.receive(link, { ...access, kind: 'read', bytes: 1 });
    }
  });
  const answer = (stag: bigint, page: number): void => {
    const action = answers[answered] ?? 9;
    if (answered++ === invalidates) rig.post(0x30n, 0n, SYNC, 0n);
    const n = PAGES.indexOf(page);
    if (action > 1) rig.map(root, page, FRAME + n);
    rig.post(0x0000004200000044n | (action > 1 ? 0x1000n : action === 0 ? 0x2000n : 0n), stag);
    stags.delete(Number(stag));
  };
  rig.kernel.spawn('driver', function* () {
    while (link.sent.length < accesses.length) {
      yield* rig.kernel.until(
        Math.floor((0x905_0000 + 0x100a8) / 8),
        () => (rig.read(0x100a8) & 15) !== (rig.read(0x100ac) & 15) || link.sent.length >= accesses.length,
        'an event',
        1e6,
      );
      for (const [, dw1, dw2] of rig.events()) {
        const stag = BigInt(dw1) & 0xffffn;
        expect(BigInt(dw1) & 0x8000_0000n).toBe(0x8000_0000n);
        expect(stags.has(Number(stag))).toBe(false);
        stags.add(Number(stag));
        yield* rig.kernel.until(Math.floor((0x905_0000 + 0x9c) / 8), () => rig.cons === rig.prod, 'room');
        answer(stag, Number(BigInt(dw2) >> 12n));
      }
    }
  });
  rig.kernel.begin(new RandomChooser(seed), { steps: 200_000, ns: 600e9, idleSteps: 100_000 });
  const { end } = rig.kernel.run();
  return { rig, end, sent: link.sent };
}

describe('Stalls, in any schedule (smmuv3.md 5.4)', () => {
  it('end every transaction exactly once, record each STAG once while it is outstanding, and keep the order of a page', () => {
    fc.assert(
      fc.property(plan, (it) => {
        const { rig, end, sent } = run(it);
        expect(end).toBe('finished');
        const tags = sent.map((tlp) => (tlp.kind === 'completion' ? tlp.tag : -1));
        expect([...tags].sort((a, b) => a - b)).toEqual(it.accesses.map((_, n) => n));
        expect(rig.smmu.stalls.state).toEqual({ held: 0, unrecorded: 0 });
        expect(rig.smmu.stalls.busy).toBe(false);
        // Accesses of one kind to one page end in the order in which they came: nothing overtakes what is stalled.
        for (const page of PAGES.keys()) {
          for (const kind of [true, false]) {
            const order = tags.filter((n) => it.accesses[n][0] === page && it.accesses[n][1] === kind);
            expect(order).toEqual([...order].sort((a, b) => a - b));
          }
        }
      }),
      { seed: 11, numRuns: 250 },
    );
  }, 60_000);

  it('would lose that order if nothing queued behind a stall', () => {
    class Overtaking extends Stalls {
      override queue(): boolean {
        return false;
      }
    }
    const broken = fc.sample(plan, { seed: 11, numRuns: 200 }).some((it) => {
      const { sent } = run(it, { Stalls: Overtaking });
      const tags = sent.map((tlp) => (tlp.kind === 'completion' ? tlp.tag : -1));
      return [...PAGES.keys()].some((page) => {
        const order = tags.filter((n) => it.accesses[n][0] === page && it.accesses[n][1]);
        return order.some((n, i) => i > 0 && n < order[i - 1]);
      });
    });
    expect(broken).toBe(true);
  }, 60_000);
});
