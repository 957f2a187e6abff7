import { Kernel, RandomChooser } from '@iommukit/kernel';
import type { Upstream } from '@iommukit/pci-ats';
import { describe, expect, it } from 'vitest';
import { BASE, Rig, SID } from '../test/rig.js';
import { FLIGHT, InFlight, type VtdParts } from './index.js';

const PAGE = 0x7f1234567;
const [OLD, NEW] = [0x40100, 0x40200];

/** The mutant of L46: an invalidation does not look at the walks that are under way. */
class IgnoresWalks extends InFlight {
  override invalidated(): void {}
}

const read = { kind: 'read', at: 0, tag: 1, pasid: 5, page: PAGE, offset: 0, bytes: 8, witness: 0 } as const;
const write = { ...read, kind: 'write', data: Uint8Array.of(1) } as const;
const ask = {
  kind: 'translation-request',
  tag: 9,
  pasid: 5,
  page: PAGE,
  count: 1,
  noWrite: true,
  exec: false,
  priv: false,
} as const;

/** How the page's old translation is taken away: descriptors of vtd.md 9.1 for PASID 5 of DID 1. */
const INVALIDATIONS = {
  'a page': [0x0000000500010036n, 0x00007f1234567000n],
  'a PASID': [0x0000000500010026n, 0n],
  'a domain, with DR and DW': [0x00000000000100e2n, 0n],
} as const;
const HOW = ['a page', 'a PASID', 'a domain, with DR and DW'] as const;

/**
 * A device accesses a page in the stepwise gait while its mapping changes and is invalidated, in a random schedule. What used the
 * old frame after the wait had completed: accesses, answers to translation requests, and what the IOTLB says in the end.
 */
function late(seed: number, how: readonly bigint[], tlps: readonly Upstream[], parts: Partial<VtdParts>): string[] {
  const rig = new Rig({ gait: 'stepwise' }, {}, parts).enable();
  const root = rig.pasid(rig.context(), 5);
  rig.map(root, PAGE, OLD, 0x67n, 1, 0x27n);
  const link = rig.link();
  // The configuration is cached, the page is not.
  rig.translate(SID, 5, PAGE);
  rig.vtd.iotlb.dropAll();
  const found: string[] = [];
  let complete = false;
  rig.kernel.observer = Object.create(rig.kernel.observer, {
    dma: {
      value: (_name: string, _sid: number, _pasid: number, frame: number) => {
        if (complete && frame === OLD) found.push('access');
      },
    },
  });
  rig.kernel.spawn('driver', function* () {
    for (let i = seed % 24; i >= 0; i--) yield* rig.kernel.point(Math.floor(root / 8), true);
    rig.map(root, PAGE, NEW, 0x67n);
    rig.post([...how], rig.wait(0));
    yield* rig.kernel.until(Math.floor(rig.status / 8), () => rig.statusOf(0) === 2, 'the wait');
    complete = true;
    link.sent.length = 0;
  });
  for (const tlp of tlps) {
    rig.kernel.spawn(tlp.kind, function* () {
      for (let i = 0; i < 2; i++) yield* rig.vtd.receive(link, tlp);
    });
  }
  rig.kernel.begin(new RandomChooser(seed));
  expect(rig.kernel.run().end).toBe('finished');
  for (const tlp of link.sent) {
    if (tlp.kind === 'translation-completion' && tlp.entries[0] >>> 12 === OLD) found.push('answer');
  }
  if (rig.translate(SID, 5, PAGE) !== NEW) found.push('line');
  expect(rig.vtd.inFlight.open).toEqual([]);
  return found;
}

describe('InFlight (MN-18)', () => {
  it.each(HOW)(
    'lets no old translation be used after the wait behind an invalidation of %s, in any schedule',
    (how) => {
      for (let seed = 1; seed <= 300; seed++)
        expect(late(seed, INVALIDATIONS[how], [read, write, ask], {}), `seed ${seed}`).toEqual([]);
    },
    60_000,
  );

  it('would let some if an invalidation ignored walks (L46, iotlb-inv-ignores-walk)', () => {
    const found = new Set<string>();
    for (const tlp of [read, write, ask]) {
      for (let seed = 1; seed <= 200; seed++) {
        for (const what of late(seed, INVALIDATIONS['a page'], [tlp], { InFlight: IgnoresWalks })) {
          found.add(`${tlp.kind}: ${what}`);
        }
      }
    }
    expect([...found].sort()).toEqual([
      'read: access',
      'read: line',
      'translation-request: answer',
      'translation-request: line',
      'write: access',
      'write: line',
    ]);
  }, 60_000);

  it('would let accesses use an old translation that asks for no draining (DR=DW=0, 3.2)', () => {
    const found = new Set<string>();
    for (let seed = 1; seed <= 300; seed++) {
      for (const what of late(seed, [0x0000000000010022n, 0n], [read, write, ask], {})) found.add(what);
    }
    // Walks are waited for all the same, and nothing old is kept.
    expect([...found]).toEqual(['access']);
  }, 60_000);

  it('keeps the register busy until old walks are through (1.7)', () => {
    const rig = new Rig({ gait: 'stepwise' }).enable(0);
    rig.command(0, 0x8000_0000);
    const { inFlight } = rig.vtd;
    const ticket = inFlight.begin(FLIGHT.READ);
    rig.write64(0xf8, 0x9002_0000_0000_0000n);
    rig.kernel.spawn('walk', function* () {
      yield* rig.kernel.point(1, true);
      expect(rig.read(0xfc) >>> 31).toBe(1);
      inFlight.end(ticket);
    });
    expect(rig.settle().end).toBe('finished');
    expect(rig.read(0xfc) >>> 31).toBe(0);
    expect(BASE).toBe(0xfed9_0000);
  });

  it('hands out tickets that are stale once something was invalidated, until they are given back', () => {
    const inFlight = new InFlight(new Kernel());
    let settled = 0;
    inFlight.settled = () => settled++;
    const first = inFlight.begin(FLIGHT.READ);
    const second = inFlight.begin(FLIGHT.WRITE);
    expect([inFlight.stale(first), inFlight.through(inFlight.bounds())]).toEqual([false, true]);
    inFlight.invalidated(false, true);
    const bounds = inFlight.bounds();
    const third = inFlight.begin();
    expect([first, second, third].map((ticket) => inFlight.stale(ticket))).toEqual([true, true, false]);
    expect(inFlight.through(bounds)).toBe(false);
    inFlight.end(second);
    inFlight.end(third);
    // The read is not drained; its end is told all the same.
    expect([inFlight.through(bounds), settled]).toEqual([true, 1]);
    inFlight.invalidated();
    expect(inFlight.through(inFlight.bounds())).toBe(false);
    inFlight.end(first);
    expect([inFlight.through(inFlight.bounds()), settled]).toEqual([true, 2]);
  });
});
