import { type Coroutine, PREEMPT, RandomChooser } from '@iommukit/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Rig, type TestLink } from '../test/rig.js';

const SIDS = [0x0100, 0x0108, 0x0110];
const GAITS = ['atomic', 'stepwise'] as const;

/** A device of the bus that completes invalidations when its turn comes. Everything it is sent is taken. */
function* completes(rig: Rig, link: TestLink, count: number, told: (itag: number) => void): Coroutine<void> {
  for (let n = 0; n < count; ) {
    if (rig.kernel.at(rig.kernel.footprint(), true)) yield PREEMPT;
    const tlp = link.sent.shift();
    if (tlp?.kind !== 'invalidate-request') continue;
    n++;
    told(tlp.itag);
    yield* rig.vtd.receive(link, { kind: 'invalidate-completion', itags: 2 ** tlp.itag, count: 1 });
  }
}

describe('Vtd in any schedule', () => {
  it.each(GAITS)('writes no status before devices have completed what came before it, %s (3.5)', (gait) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 31 - 1 }),
        fc.array(fc.nat(2), { minLength: 1, maxLength: 12 }),
        (seed, plan) => {
          const rig = new Rig({ gait }).enable();
          const links = SIDS.map((sid) => rig.link(sid));
          let completed = 0;
          const found: string[] = [];
          rig.kernel.spawn('driver', function* () {
            for (const [n, device] of plan.entries()) {
              rig.post([(BigInt(SIDS[device]) << 32n) | 3n, 0x1000n], rig.wait(n, n + 1));
              yield* rig.kernel.point(rig.kernel.footprint(), true);
            }
            for (const n of plan.keys()) {
              const at = Math.floor((rig.status + n * 4) / 8);
              yield* rig.kernel.until(at, () => rig.statusOf(n) === n + 1, 'a wait');
              if (completed <= n) found.push(`wait ${n} after ${completed} completions`);
            }
          });
          for (const [device, link] of links.entries()) {
            const count = plan.filter((one) => one === device).length;
            rig.kernel.spawn(`device ${device}`, () => completes(rig, link, count, () => completed++));
          }
          rig.kernel.begin(new RandomChooser(seed));
          expect(rig.kernel.run().end).toBe('finished');
          expect(found).toEqual([]);
          expect(rig.fsts).toBe(0);
        },
      ),
      { seed: 50, numRuns: 150 },
    );
  });

  it.each(GAITS)(
    'loses no page request and no event while software clears PPR first, %s (4.6, VTD-31, L58)',
    (gait) => {
      fc.assert(
        fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), (seed) => {
          const { end, seen } = requested(seed, gait, true);
          expect(end).toBe('finished');
          for (const sid of SIDS) {
            const own = seen.filter((one) => one.startsWith(`${sid}/`));
            expect(own).toEqual(Array.from({ length: 10 }, (_, prgi) => `${sid}/${prgi}`));
          }
        }),
        { seed: 58, numRuns: 100 },
      );
    },
  );

  it('would leave a request unseen if software cleared PPR after it read the tail (ppr-cleared-late)', () => {
    const ends = Array.from({ length: 50 }, (_, n) => requested(n + 1, 'atomic', false).end);
    expect(ends).toContain('deadlock');
  });
});

/**
 * Three devices send ten page requests each while software handles the event, in a random schedule; `clearsFirst`: PPR before it
 * reads PQT. How the run ended, and what software saw: `requester/group`.
 */
function requested(seed: number, gait: string, clearsFirst: boolean) {
  const rig = new Rig({ gait }).enable();
  const { kernel } = rig;
  for (const sid of SIDS) rig.context(sid);
  const seen: string[] = [];
  kernel.spawn('handler', function* () {
    while (seen.length < SIDS.length * 10) {
      yield* kernel.until(rig.interrupted, () => rig.interrupts.length > 0, 'an interrupt');
      rig.interrupts.length = 0;
      if (clearsFirst) rig.write(0xdc, 1);
      yield* kernel.point(kernel.footprint(), true);
      const tail = rig.read(0xc8);
      yield* kernel.point(kernel.footprint(), true);
      if (!clearsFirst) rig.write(0xdc, 1);
      for (let at = rig.read(0xc0); at !== tail; at = (at + 32) % 4096) {
        seen.push(`${(rig.load(rig.prq + at) >> 16n) & 0xffffn}/${(rig.load(rig.prq + at + 8) >> 3n) & 0x1ffn}`);
      }
      rig.write64(0xc0, BigInt(tail));
    }
  });
  for (const [device, sid] of SIDS.entries()) {
    const link = rig.link(sid);
    kernel.spawn(`device ${device}`, function* () {
      for (let prgi = 0; prgi < 10; prgi++) {
        yield* rig.vtd.receive(link, { kind: 'page-request', pasid: 5, prgi, page: prgi, perm: 1, last: true });
      }
    });
  }
  kernel.begin(new RandomChooser(seed));
  return { end: kernel.run().end, seen };
}
