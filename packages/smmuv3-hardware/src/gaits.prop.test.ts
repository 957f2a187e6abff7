import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex } from '../test/rig.js';
import { type RequestCase, type WalkCase, WalkRig, walkCase } from '../test/walk-case.js';
import { EXEC, PRIV, READ, steError, steVerdict, type Verdict, WRITE } from '../test/walk-reference.js';
import { Fetcher, Iotlb, type SmmuV3Parts, type TableWalk, Translator, Walker } from './index.js';

const SID = 0x42;
const RUNS = 2000;

/** STE.PRIVCFG and INSTCFG on a request (2.2): INSTCFG is about reads that are not translation requests. */
function overridden({ c }: WalkRig, want: number, translation: boolean): number {
  if (!c.has.permsOverride) return want;
  let seen = want;
  if (c.ste.privcfg === 2) seen &= ~PRIV;
  if (c.ste.privcfg === 3) seen |= PRIV;
  if (translation || (want & WRITE) !== 0) return seen;
  if (c.ste.instcfg === 3 && (seen & READ) !== 0) return (seen & ~READ) | EXEC;
  return c.ste.instcfg === 2 && (seen & EXEC) !== 0 ? (seen & ~EXEC) | READ : seen;
}

/** A request of a case as addresses and numbers. */
function ask(w: WalkRig, r: RequestCase): { ssid: number; va: bigint; want: number } {
  const { context, upper, base, offset } = r.near < 0 ? r : w.c.mappings[r.near % w.c.mappings.length];
  const half = w.c.cds[context].halves[upper];
  const size = half.size >= 12 && half.size <= 39 ? half : { ...half, size: 16 };
  const g = { ...size, g: half.g === 0 ? 12 : half.g };
  let va = w.address(g, upper, base, offset) + (BigInt(r.inside) % (1n << BigInt(g.g)));
  if (r.odd === 1) va ^= 0xa5n << 56n;
  if (r.odd === 2) va ^= 1n << BigInt(64 - g.size);
  if (r.odd === 3) va ^= 1n << 55n;
  return { ssid: r.ssid ? context + 1 : -1, va, want: r.want };
}

/** What the specification says. */
function expected(w: WalkRig, ssid: number, va: bigint, want: number, soft: boolean, translation: boolean): Verdict {
  const { ste, has } = w.c;
  const first = steVerdict(ste, ssid, has);
  if (first === 'bypass') {
    const inside = va < 1n << BigInt(has.oas);
    return inside ? { address: va, perm: 7, log2Size: 12 } : { reason: 0x11, level: 0 };
  }
  if (first !== null) return { reason: first, level: 0 };
  return w.contexts[Math.max(ssid - 1, 0)].judge(va, overridden(w, want, translation), soft);
}

/** A coroutine that nothing interleaves with: it never yields. */
function straight<T>(routine: () => Iterator<number, T, void>): T {
  const { done, value } = routine().next();
  if (done !== true) throw new Error('a gait yielded although nobody else is there');
  return value;
}

function data(w: WalkRig, stepwise: boolean, ssid: number, va: bigint, want: number): Verdict {
  const { translator, inFlight } = w.rig.smmu;
  const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
  const page = Number(va >> 12n);
  const ticket = inFlight.begin();
  const granted = stepwise
    ? straight(() => translator.translateSteps(SID, ssid, page, want, out, ticket))
    : translator.translate(SID, ssid, page, want, out);
  inFlight.end(ticket);
  if (!granted) return { reason: out.reason, level: out.level };
  return { address: (BigInt(out.frame) << 12n) | (va & 4095n), perm: out.perm, log2Size: out.log2Size };
}

/** A translation request: the completion's status, or its entry. */
function ats(w: WalkRig, stepwise: boolean, ssid: number, va: bigint, want: number): string | bigint {
  const { translationRequests: requests, inFlight } = w.rig.smmu;
  const link = w.rig.link(SID);
  const request = {
    kind: 'translation-request' as const,
    tag: 1,
    pasid: ssid,
    page: Number(va >> 12n),
    count: 1,
    noWrite: (want & WRITE) === 0,
    exec: (want & EXEC) !== 0,
    priv: (want & PRIV) !== 0,
  };
  const ticket = inFlight.begin();
  const status = stepwise
    ? straight(() => requests.allowedSteps(link, request, ticket))
    : requests.allowed(link, request);
  const entries =
    status !== 'ok'
      ? null
      : stepwise
        ? straight(() => requests.translateSteps(link, request, ticket))
        : requests.translate(link, request);
  inFlight.end(ticket);
  if (status !== 'ok') return status;
  return entries === null ? 'ca' : (BigInt(entries[1]) << 32n) | BigInt(entries[0]);
}

/** The completion that the second table of 5.3 and pcie-ats.md 2.4 ask for. */
function expectedAts(w: WalkRig, ssid: number, va: bigint, want: number): string | bigint {
  const { ste, has } = w.c;
  const stu = has.granule4K ? 12n : has.granule16K ? 14n : 16n;
  const error = steError(ste, has);
  if (error === 0x04) return 'ca';
  if (error === 0 || ste.config === 4 || ste.eats === 0) return 'ur';
  const soft = (want & WRITE) !== 0;
  const found = expected(w, ssid, va, READ | (want & PRIV), soft, true);
  const echo = (want & PRIV) !== 0 ? 0x10n : 0n;
  const entry = (address: bigint, log2Size: bigint, perm: number): bigint => {
    const size = 1n << log2Size;
    const rights = BigInt(perm & 3) | ((perm & EXEC) !== 0 && (want & EXEC) !== 0 ? 8n : 0n) | echo;
    const s = log2Size > 12n ? (size / 2n - 1n) & ~0xfffn : 0n;
    return (address & ~(size - 1n)) | s | (log2Size > 12n ? 0x800n : 0n) | rights;
  };
  if ('reason' in found) {
    return [0x10, 0x11, 0x12, 0x13].includes(found.reason) ? entry(0n, stu, 0) : 'ca';
  }
  if ((found.perm & READ) === 0) return entry(0n, stu, 0);
  const size = BigInt(found.log2Size) > stu ? BigInt(found.log2Size) : stu;
  return entry(found.address, steVerdict(ste, ssid, has) === 'bypass' ? stu : size, found.perm);
}

/** The specification defines no level for a walk that aborts. */
function same(got: Verdict, should: Verdict): boolean {
  if ('reason' in should) {
    return 'reason' in got && got.reason === should.reason && (should.level === -9 || got.level === should.level);
  }
  return (
    'address' in got && got.address === should.address && got.perm === should.perm && got.log2Size === should.log2Size
  );
}

/** How often each answer was seen. */
type Seen = Map<string, number>;
const count = (seen: Seen, kind: string): Seen => seen.set(kind, (seen.get(kind) ?? 0) + 1);

/** One property run: every request of a case on one machine. */
function check(c: WalkCase, stepwise: boolean, seen: Seen = new Map(), parts: Partial<SmmuV3Parts> = {}): void {
  const w = new WalkRig(c, stepwise ? 'stepwise' : 'atomic', parts);
  const { iotlb } = w.rig.smmu;
  for (const r of c.requests) {
    const { ssid, va, want } = ask(w, r);
    // EL2 without E2H has no ASIDs: its contexts are one to the caches.
    if (!c.warm || w.el2) iotlb.dropAll();
    if (r.translation) {
      const should = expectedAts(w, ssid, va, want);
      const got = ats(w, stepwise, ssid, va, want);
      if (got !== should) expect([r, got]).toEqual([r, should]);
      count(seen, typeof should === 'string' ? should : (should & 3n) === 0n ? 'denied' : 'granted');
    } else {
      const should = expected(w, ssid, va, want, false, false);
      const got = data(w, stepwise, ssid, va, want);
      if (!same(got, should)) expect([r, got]).toEqual([r, should]);
      count(seen, 'reason' in should ? `event 0x${should.reason.toString(16)}` : `2^${should.log2Size}`);
    }
  }
  for (const { address, encode } of w.places.values()) {
    if (w.rig.load(address) !== encode()) expect(hex(w.rig.load(address))).toBe(hex(encode()));
  }
}

/** Sizes of pages, blocks and contiguous groups of the three granules, and every answer that there is: seen this often at least. */
const KINDS: Readonly<Record<string, number>> = {
  'event 0x0': 500,
  'event 0x4': 500,
  'event 0x6': 100,
  'event 0x8': 500,
  'event 0xa': 500,
  'event 0xb': 500,
  'event 0x10': 5000,
  'event 0x11': 2000,
  'event 0x12': 2000,
  'event 0x13': 5000,
  '2^12': 2000,
  '2^14': 1000,
  '2^16': 1000,
  '2^21': 1000,
  '2^25': 500,
  '2^29': 500,
  '2^30': 500,
  '2^34': 300,
  '2^36': 50,
  '2^39': 50,
  '2^42': 20,
  ur: 300,
  ca: 1000,
  denied: 5000,
  granted: 5000,
};

describe('translation, for any capabilities, tables and requests', () => {
  it.each([
    ['atomic', false],
    ['stepwise', true],
  ])(
    'agrees with a flat map in the %s gait, in 100,000 cases, and sets the same flags (2.2 to 3.5, 5.3)',
    (_name, stepwise) => {
      const seen: Seen = new Map();
      fc.assert(
        fc.property(walkCase, (c) => check(c, stepwise, seen)),
        { seed: 30, numRuns: RUNS },
      );
      expect([...seen.values()].reduce((all, n) => all + n, 0)).toBeGreaterThan(100_000);
      for (const [kind, least] of Object.entries(KINDS))
        expect([kind, seen.get(kind) ?? 0]).toSatisfy(([, n]) => n >= least);
    },
    240_000,
  );

  it.each<[string, Partial<SmmuV3Parts>, boolean]>([
    [
      'takes any block for a leaf',
      {
        Walker: class extends Walker {
          override isLeaf() {
            return true;
          }
        },
      },
      false,
    ],
    [
      'sets no dirty state',
      {
        Walker: class extends Walker {
          override soils() {
            return false;
          }
        },
      },
      true,
    ],
    [
      'forgets what tables take away',
      {
        Walker: class extends Walker {
          override rights(walk: TableWalk, lo: number, control: number) {
            walk.inherited = 0;
            return super.rights(walk, lo, control);
          }
        },
      },
      false,
    ],
    [
      'takes a clean line for the last word',
      {
        Translator: class extends Translator {
          override walksAgain() {
            return false;
          }
        },
      },
      false,
    ],
    [
      'accepts any STE',
      {
        Fetcher: class extends Fetcher {
          override illegal() {
            return false;
          }
        },
      },
      true,
    ],
    [
      'takes lines of any range',
      {
        Iotlb: class extends Iotlb {
          override findBlock(space: number, key: number) {
            return super.findBlock(space, key % 2 ** 30);
          }
        },
      },
      true,
    ],
  ])(
    'would find that hardware %s',
    (_name, parts, stepwise) => {
      const property = fc.property(walkCase, (c) => check(c, stepwise, new Map(), parts));
      expect(fc.check(property, { seed: 30, numRuns: 400, endOnFailure: true }).failed).toBe(true);
    },
    60_000,
  );
});
