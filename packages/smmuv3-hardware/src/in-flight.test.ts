import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { InFlight, type Upstream } from '@iommukit/pci-ats';
import { describe, expect, it } from 'vitest';
import { BASE, Rig, type TestLink } from '../test/rig.js';
import type { SmmuV3Parts } from './index.js';

const PAGE = 0x7f1234567;
const [OLD, NEW] = [0x40100, 0x40200];
const SYNC = 0x0fc02046n;

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

/** How the page's old translation is taken away, and the word after which nothing may use it. */
const INVALIDATIONS = {
  *command(rig: Rig): Coroutine<void> {
    rig.post(0x0012000000000012n, 0x00007f1234567001n, SYNC, 0n);
    yield* rig.kernel.until(Math.floor((BASE + 0x9c) / 8), () => rig.cons === 2, 'the SYNC');
  },
  *broadcast(rig: Rig): Coroutine<void> {
    const { tlbBroadcast } = rig.kernel;
    yield* tlbBroadcast.send({ kind: 'va', level: 'el1', vmid: 0, asid: 0x12, first: PAGE, last: PAGE, leaf: true });
    yield* tlbBroadcast.sync();
  },
};
const HOW = ['command', 'broadcast'] as const;

/**
 * A device accesses a page in the stepwise gait while its mapping changes and is invalidated, in a random schedule. What used the
 * old frame after the invalidation was complete: accesses, answers to translation requests, and what the TLB says in the end.
 */
function late(
  seed: number,
  how: (typeof HOW)[number],
  tlps: readonly Upstream[],
  parts: Partial<SmmuV3Parts>,
): string[] {
  const rig = new Rig({ gait: 'stepwise', btm: true }, {}, parts).enable();
  const table = rig.cdTable(0x42, 6);
  const root = rig.cd(table, 5, Rig.cd0(0x12, 0n, 1n << 47n));
  rig.map(root, PAGE, OLD);
  const link: TestLink = rig.link(0x42);
  // The configuration is cached, the page is not.
  rig.translate(0x42, 5, PAGE);
  rig.smmu.iotlb.dropAll();
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
    rig.map(root, PAGE, NEW);
    yield* INVALIDATIONS[how](rig);
    complete = true;
    link.sent.length = 0;
  });
  for (const tlp of tlps) {
    rig.kernel.spawn(tlp.kind, function* () {
      for (let i = 0; i < 2; i++) yield* rig.smmu.receive(link, tlp);
    });
  }
  rig.kernel.begin(new RandomChooser(seed));
  expect(rig.kernel.run().end).toBe('finished');
  for (const tlp of link.sent) {
    if (tlp.kind === 'translation-completion' && tlp.entries[0] >>> 12 === OLD) found.push('answer');
  }
  if (rig.translate(0x42, 5, PAGE) !== NEW) found.push('line');
  expect(rig.smmu.inFlight.open).toEqual([]);
  return found;
}

describe('InFlight (smmuv3.md 3.6, MN-18)', () => {
  it.each(HOW)(
    'lets no old translation be used after the %s is complete, in any schedule',
    (how) => {
      for (let seed = 1; seed <= 300; seed++)
        expect(late(seed, how, [read, write, ask], {}), `seed ${seed}`).toEqual([]);
    },
    60_000,
  );

  it.each(HOW)(
    'would let some if a %s ignored walks (L46, iotlb-inv-ignores-walk)',
    (how) => {
      const found = new Set<string>();
      for (const tlp of [read, write, ask]) {
        for (let seed = 1; seed <= 200; seed++) {
          for (const what of late(seed, how, [tlp], { InFlight: IgnoresWalks })) found.add(`${tlp.kind}: ${what}`);
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
    },
    60_000,
  );
});
