import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DW2, type GranuleName, LEAF, SID, Stage2Rig } from '../test/stage2-rig.js';

const READ = 1;
const WRITE = 2;
const EXEC = 4;
const PRIVILEGED = 8;
const SHIFT: Readonly<Record<GranuleName, number>> = { '4K': 12, '16K': 14, '64K': 16 };
/** Levels at which a leaf may stand without 52-bit addresses (smmuv3.md 3.1). */
const LEAVES: Readonly<Record<GranuleName, readonly number[]>> = { '4K': [1, 2, 3], '16K': [2, 3], '64K': [2, 3] };

/** Start levels with the numbers of address bits that they can begin with, by hand from 2.2: SL0, level, least and most bits. */
const STARTS: Readonly<Record<GranuleName, readonly (readonly [number, number, number, number])[]>> = {
  '4K': [
    [2, 0, 40, 48],
    [1, 1, 31, 43],
    [0, 2, 25, 34],
  ],
  '16K': [
    [2, 1, 37, 48],
    [1, 2, 26, 40],
    [0, 3, 25, 29],
  ],
  '64K': [
    [2, 1, 43, 48],
    [1, 2, 30, 46],
    [0, 3, 25, 33],
  ],
};

interface Leaf {
  readonly place: number;
  readonly level: number;
  readonly rights: number;
  readonly xn: number;
  readonly af: boolean;
  readonly dbm: boolean;
  readonly far: boolean;
}

const stage2Case = fc
  .record({
    granule: fc.constantFrom<GranuleName>('4K', '16K', '64K'),
    start: fc.nat({ max: 2 }),
    span: fc.nat(),
    affd: fc.boolean(),
    ha: fc.boolean(),
    hd: fc.boolean(),
    leaves: fc.array(
      fc.record({
        place: fc.nat({ max: 7 }),
        level: fc.nat({ max: 2 }),
        rights: fc.nat({ max: 3 }),
        xn: fc.nat({ max: 3 }),
        af: fc.boolean(),
        dbm: fc.boolean(),
        far: fc.boolean(),
      }),
      { maxLength: 6 },
    ),
    requests: fc.array(
      fc.record({
        leaf: fc.nat(),
        odd: fc.nat({ max: 5 }),
        inside: fc.nat(),
        want: fc.constantFrom(READ, WRITE, EXEC, EXEC | PRIVILEGED, READ | PRIVILEGED, READ | WRITE),
      }),
      { minLength: 1, maxLength: 8 },
    ),
  })
  .map((c) => {
    const [sl0, level, least, most] = STARTS[c.granule][c.start];
    return { ...c, sl0, startLevel: level, bits: least + (c.span % (most - least + 1)) };
  });

type Stage2Case = typeof stage2Case extends fc.Arbitrary<infer T> ? T : never;

const ROOT = 2n ** 43n;

/** One mapping of a case, as numbers: no tables. */
interface Mapped {
  readonly ipa: bigint;
  readonly size: bigint;
  readonly pa: bigint;
  readonly leaf: Leaf;
  af: boolean;
  written: boolean;
}

/** Mappings that do not touch one another, spread over the range. */
function mappingsOf(c: Stage2Case): (Mapped & { readonly at: number })[] {
  const found: (Mapped & { readonly at: number })[] = [];
  for (const leaf of c.leaves) {
    const levels = LEAVES[c.granule].filter((level) => level >= c.startLevel);
    const at = levels[leaf.level % levels.length];
    const size = 1n << BigInt(SHIFT[c.granule] + (SHIFT[c.granule] - 3) * (3 - at));
    const slots = (1n << BigInt(c.bits)) / size;
    if (slots < 1n) continue;
    const ipa = ((slots - 1n) * BigInt(leaf.place) * size) / 7n;
    const first = ipa - (ipa % size);
    // A table of the level above may not have been a block, and the other way round.
    const region = 1n << BigInt(SHIFT[c.granule] + (SHIFT[c.granule] - 3) * 2);
    if (found.some((other) => first / region === other.ipa / region || overlap(first, size, other))) continue;
    const pa = leaf.far ? ROOT + size : (leaf.place % 2 === 0 ? 2n : 6n) * (1n << 42n) - size * 4n;
    found.push({ ipa: first, size, pa: pa - (pa % size), leaf, at, af: leaf.af, written: (leaf.rights & 2) !== 0 });
  }
  return found;
}

const overlap = (first: bigint, size: bigint, other: Mapped): boolean =>
  first < other.ipa + other.size && other.ipa < first + size;

/** S2PS of the cases: 44 bits. */
const OUTPUT = 44;

function rigOf(c: Stage2Case, mappings: readonly (Mapped & { readonly at: number })[]): Stage2Rig {
  const set = (c.affd ? DW2.AFFD : 0n) | (c.ha ? DW2.HA : 0n) | (c.hd ? DW2.HD : 0n);
  const s2 = new Stage2Rig({ granule: c.granule, bits: c.bits, sl0: c.sl0, ps: 4, set }, { httu: 'dirty' });
  for (const { ipa, pa, leaf, at } of mappings) {
    const rights = (BigInt(leaf.rights) << 6n) | (BigInt(leaf.xn) << 53n);
    s2.map(ipa, pa, 0x33dn | rights | (leaf.af ? LEAF.AF : 0n) | (leaf.dbm ? LEAF.DBM : 0n), at);
  }
  return s2;
}

/** What the specification says of one request: a frame, or an event. Flags that hardware sets are set. */
function expected(c: Stage2Case, mappings: readonly Mapped[], ipa: bigint, want: number): number | string {
  if (ipa >= 1n << 48n) return 'event 0x11';
  const found = mappings.find((mapping) => ipa >= mapping.ipa && ipa < mapping.ipa + mapping.size);
  if (ipa >= 1n << BigInt(c.bits) || found === undefined) return 'event 0x10';
  if (found.pa >= 1n << BigInt(OUTPUT)) return 'event 0x11';
  const { leaf } = found;
  const dirties = c.ha && c.hd && leaf.dbm;
  const readable = (leaf.rights & 1) !== 0;
  const writable = found.written || dirties;
  const user = leaf.xn === 0 || leaf.xn === 1;
  const privileged = leaf.xn === 0 || leaf.xn === 3;
  const executable = readable && ((want & PRIVILEGED) === 0 ? user : privileged);
  const granted =
    ((want & READ) === 0 || readable) && ((want & WRITE) === 0 || writable) && ((want & EXEC) === 0 || executable);
  if (!found.af && !c.affd && !c.ha) return 'event 0x12';
  if (!granted) return 'event 0x13';
  if (c.ha && !c.affd) found.af = true;
  if ((want & WRITE) !== 0) found.written = true;
  return Number((found.pa + (ipa - found.ipa)) >> 12n);
}

function straight<T>(routine: () => Iterator<number, T, void>): T {
  const { done, value } = routine().next();
  if (done !== true) throw new Error('a gait yielded although nobody else is there');
  return value;
}

function stepwise(s2: Stage2Rig, ipa: bigint, want: number): number | string {
  const { translator, inFlight } = s2.rig.smmu;
  const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
  const ticket = inFlight.begin();
  const granted = straight(() => translator.translateSteps(SID, -1, Number(ipa >> 12n), want, out, ticket));
  inFlight.end(ticket);
  return granted ? out.frame : `event 0x${out.reason.toString(16)}`;
}

describe('stage 2', () => {
  it('answers as a list of mappings does, in both gaits', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(stage2Case, (c) => {
        const [mappings, again] = [mappingsOf(c), mappingsOf(c)];
        const [atomic, steps] = [rigOf(c, mappings), rigOf(c, mappings)];
        for (const { leaf, odd, inside, want } of c.requests) {
          const near = mappings.length === 0 ? null : mappings[leaf % mappings.length];
          let ipa = near === null ? BigInt(inside) << 8n : near.ipa + (BigInt(inside) % near.size);
          if (odd === 1) ipa ^= 1n << BigInt(c.bits);
          if (odd === 2) ipa += near?.size ?? 0x1000n;
          if (odd === 3) ipa |= 1n << 48n;
          const what = `0x${ipa.toString(16)} want ${want}`;
          const answer = expected(c, mappings, ipa, want);
          seen.add(typeof answer === 'number' ? `${c.granule} frame` : answer);
          expect(atomic.translate(ipa, want), `atomic ${what}`).toBe(answer);
          expect(stepwise(steps, ipa, want), `stepwise ${what}`).toBe(expected(c, again, ipa, want));
        }
      }),
      { seed: 20253, numRuns: 600 },
    );
    const events = ['event 0x10', 'event 0x11', 'event 0x12', 'event 0x13'];
    expect([...seen].sort()).toEqual(['16K frame', '4K frame', '64K frame', ...events]);
  });

  it('takes any STE: an answer, or C_BAD_STE, the same in both gaits', () => {
    const words = fc.record({
      dw2: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      dw3: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      legal: fc.boolean(),
      wide: fc.boolean(),
      ipa: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      shift: fc.nat({ max: 40 }),
    });
    fc.assert(
      fc.property(words, ({ dw2, dw3, legal, wide, ipa, shift }) => {
        const rigs = [0, 1].map(() => {
          const s2 = new Stage2Rig({}, wide ? { oas: 52, ds: true, httu: 'dirty' } : { httu: 'dirty' });
          const at = s2.rig.strtab + SID * 64;
          s2.rig.store(at + 16, legal ? (dw2 | DW2.AA64) & ~(DW2.ENDI | (2n << 46n)) : dw2);
          s2.rig.store(at + 24, legal ? BigInt(s2.ttb) : dw3);
          return s2;
        });
        const address = ipa >> BigInt(shift);
        const answer = rigs[0].translate(address);
        expect(stepwise(rigs[1], address, READ)).toBe(answer);
        expect(typeof answer === 'number' || /^event 0x(4|b|10|11|12|13)$/.test(answer)).toBe(true);
      }),
      { seed: 20254, numRuns: 600 },
    );
  });
});
