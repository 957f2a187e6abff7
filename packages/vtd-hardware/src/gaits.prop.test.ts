import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, SID } from '../test/rig.js';
import { type RequestCase, type WalkCase, WalkRig, walkCase } from '../test/walk-case.js';
import { PRIV, shiftOf, type Verdict } from '../test/walk-reference.js';
import { FOUND, NO_LINE, StepwiseRequest, type TableWalk, Translator, type VtdParts, Walker } from './index.js';

const RUNS = 1600;
const WRITE_TOO = 16;

/** A routine that nobody interleaves with: it never yields. */
function straight<T>(routine: () => Iterator<number, T, void>): T {
  const { done, value } = routine().next();
  if (done !== true) throw new Error('a gait yielded although nobody else is there');
  return value;
}

/** Which entry a request is about, and its PASID (-1 without one). */
function target(w: WalkRig, r: RequestCase): { n: number; pasid: number } {
  const { mode } = w.c;
  if (mode === 0) return { n: 0, pasid: -1 };
  if (mode === 2) return r.entry === 0 ? { n: 0, pasid: -1 } : { n: r.entry, pasid: r.entry + 1 };
  return r.withPasid ? { n: r.entry, pasid: r.entry + 1 } : { n: 0, pasid: -1 };
}

/** The address of a request. */
function addressOf(w: WalkRig, r: RequestCase, n: number): bigint {
  const near = w.c.mappings.filter((m) => m.entry === n);
  const m = r.near >= 0 && near.length > 0 ? near[r.near % near.length] : null;
  const { bits, levels, c } = w.entries[n];
  const shift = BigInt(shiftOf(m === null ? 1 : Math.min(m.level, levels)));
  const base = m === null ? w.address(n, r.upper, r.base, r.offset) : w.address(n, m.upper, m.base, m.offset);
  let va = ((base >> shift) << shift) | ((BigInt(r.inside) << 12n) & ((1n << shift) - 1n)) | 0x123n;
  if (c.pgtt === 1 && ((va >> BigInt(bits - 1)) & 1n) === 1n) va |= ((1n << 64n) - 1n) & ~((1n << BigInt(bits)) - 1n);
  if (r.odd === 1) va ^= 1n << BigInt(bits);
  if (r.odd === 2) va ^= 1n << 63n;
  if (r.odd === 3) va ^= 1n << BigInt(bits - 1);
  return va;
}

/** What a request gets: its translation, or why not. */
function data(w: WalkRig, stepwise: boolean, pasid: number, va: bigint, want: number): Verdict {
  const { translator, inFlight } = w.rig.vtd;
  const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
  const page = Number(va >> 12n);
  const ticket = inFlight.begin();
  const granted = stepwise
    ? straight(() => translator.translateSteps(SID, pasid, page, want, out, ticket))
    : translator.translate(SID, pasid, page, want, out);
  inFlight.end(ticket);
  if (!granted) return { reason: out.reason, level: out.level };
  const address = (BigInt(out.frame) << 12n) | (va & 4095n);
  return { address, perm: out.perm, log2Size: out.log2Size, level: out.level };
}

/** As a translation request asks: the rights to read, and to write if they can be had; 0 where reading is not allowed. */
function soft(w: WalkRig, stepwise: boolean, pasid: number, va: bigint, priv: number): number | string {
  const { translator, inFlight, iotlb, stepwise: steps } = w.rig.vtd;
  const want = 1 | priv | WRITE_TOO;
  const page = Number(va >> 12n);
  const rights = (seen: number, flags: number): number => {
    const perm = ((seen & PRIV) === 0 ? flags : flags >> 3) & 7;
    return (perm & 1) === 0 ? 0 : perm;
  };
  if (!stepwise) {
    const i = translator.obtain(SID, pasid, page, want);
    if (i === NO_LINE.BYPASS) return 7;
    return i >= 0 ? rights(translator.asSeen(want), iotlb.lines.flags[i]) : `fault ${translator.reason}`;
  }
  const request = new StepwiseRequest(w.rig.vtd, SID, pasid, page, want, inFlight.begin());
  const found = straight(() => steps.lookup(request));
  inFlight.end(request.walk.ticket);
  if (found === FOUND.BYPASS) return 7;
  return found === FOUND.LEAF ? rights(request.walk.want, request.walk.flags) : `fault ${request.walk.reason}`;
}

/** Reasons that a translation request is answered with no rights for (5.3). */
const DENIALS = [0x05, 0x06, 0x79, 0x81, 0x86];

/** How often each answer was seen. */
type Seen = Map<string, number>;
const count = (seen: Seen, kind: string): Seen => seen.set(kind, (seen.get(kind) ?? 0) + 1);

/** One property run: every request of a case on one machine. */
function check(c: WalkCase, stepwise: boolean, seen: Seen = new Map(), parts: Partial<VtdParts> = {}): void {
  const w = new WalkRig(c, stepwise ? 'stepwise' : 'atomic', parts);
  for (const r of c.requests) {
    const { n, pasid } = target(w, r);
    const va = addressOf(w, r, n);
    if (!c.warm) w.rig.vtd.iotlb.dropAll();
    // Without a PASID RID_PRIV says what is privileged.
    const priv = pasid >= 0 ? r.want & PRIV : c.mode === 1 && c.ridPriv ? PRIV : 0;
    if (r.soft) {
      const should = w.entries[n].judge(va, 1 | priv, true);
      const got = soft(w, stepwise, pasid, va, r.want & PRIV);
      const denied = 'reason' in should && DENIALS.includes(should.reason);
      const expected = 'reason' in should ? `fault ${should.reason}` : should.perm;
      if (!(denied && got === 0) && got !== expected) expect([r, got]).toEqual([r, expected]);
      count(seen, 'reason' in should ? (denied ? 'denied' : 'failed') : 'obtained');
      continue;
    }
    const should = w.entries[n].judge(va, (r.want & 7) | priv, false);
    const got = data(w, stepwise, pasid, va, r.want);
    if (JSON.stringify(got, text) !== JSON.stringify(should, text)) expect([r, va, got]).toEqual([r, va, should]);
    count(seen, 'reason' in should ? hexReason(should.reason) : `2^${should.log2Size}`);
  }
  for (const entry of w.entries) {
    for (const word of entry.entries.values()) {
      const now = w.rig.load(w.places.get(word)!);
      if (now !== word.word) expect(hex(now)).toBe(hex(word.word));
    }
  }
}
const text = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? hex(value) : value);
const hexReason = (reason: number): string => `0x${reason.toString(16).padStart(2, '0')}`;

/** Sizes of pages of both stages, and every reason that there is: seen this often at least. */
const KINDS: Readonly<Record<string, number>> = {
  '2^12': 2000,
  '2^21': 200,
  '2^30': 100,
  '0x03': 50,
  '0x04': 50,
  '0x05': 100,
  '0x06': 100,
  '0x07': 10,
  '0x0c': 50,
  '0x0e': 10,
  '0x5a': 50,
  '0x5b': 50,
  '0x5c': 5,
  '0x5d': 100,
  '0x70': 20,
  '0x71': 500,
  '0x72': 100,
  '0x73': 50,
  '0x78': 10,
  '0x79': 500,
  '0x7a': 100,
  '0x7b': 20,
  '0x7c': 5,
  '0x80': 100,
  '0x81': 100,
  '0x82': 50,
  '0x83': 1,
  '0x84': 50,
  '0x85': 100,
  '0x86': 50,
  '0x87': 20,
  '0x90': 10,
  obtained: 100,
  denied: 100,
};

describe('translation, for any capabilities, tables and requests', () => {
  it.each([
    ['atomic', false],
    ['stepwise', true],
  ])(
    'agrees with a flat map in the %s gait, in 20,000 cases, and sets the same flags (2.2 to 2.12, 5.2)',
    (_name, stepwise) => {
      const seen: Seen = new Map();
      fc.assert(
        fc.property(walkCase, (c) => check(c, stepwise, seen)),
        { seed: 40, numRuns: RUNS },
      );
      expect([...seen.values()].reduce((all, n) => all + n, 0)).toBeGreaterThan(20_000);
      const rare = Object.entries(KINDS).filter(([kind, least]) => (seen.get(kind) ?? 0) < least);
      expect(rare.map(([kind]) => [kind, seen.get(kind) ?? 0])).toEqual([]);
    },
    120_000,
  );

  it.each<[string, Partial<VtdParts>]>([
    [
      'sets no dirty flag',
      {
        Walker: class extends Walker {
          override soils() {
            return false;
          }
        },
      },
    ],
    [
      'forgets what tables take away',
      {
        Walker: class extends Walker {
          override load(walk: TableWalk) {
            walk.inherited = 0;
            return super.load(walk);
          }
        },
      },
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
    ],
    [
      'lets anybody be a supervisor',
      {
        Translator: class extends Translator {
          override privilegeOf() {
            return 2;
          }
        },
      },
    ],
  ])(
    'would find that hardware %s',
    (_name, parts) => {
      const property = fc.property(walkCase, (c) => check(c, false, new Map(), parts));
      expect(fc.check(property, { seed: 40, numRuns: 400, endOnFailure: true }).failed).toBe(true);
    },
    60_000,
  );
});
