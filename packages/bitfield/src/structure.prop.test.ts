import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Access,
  type AnyLayout,
  address,
  bits,
  type FieldSpec,
  preserved,
  reg32,
  reserved,
  ro,
  table,
  w1c,
  w1s,
  wide,
} from './index.js';

const SEED = { seed: 20_24, numRuns: 300 };
const BITS = 192;

/** The reference: the whole structure as one bigint. */
const toBig = (words: Uint32Array): bigint => words.reduceRight((all, word) => (all << 32n) | BigInt(word), 0n);
const fieldOf = (big: bigint, hi: number, lo: number): bigint =>
  (big >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);
const replace = (big: bigint, hi: number, lo: number, value: bigint): bigint =>
  (big & ~(((1n << BigInt(hi - lo + 1)) - 1n) << BigInt(lo))) | (value << BigInt(lo));

const background = fc.uint32Array({ minLength: BITS / 32, maxLength: BITS / 32 });
const range = (most: number) =>
  fc.tuple(fc.integer({ min: 0, max: BITS - 1 }), fc.integer({ min: 1, max: most })).map(([lo, width]) => {
    const hi = Math.min(lo + width - 1, BITS - 1);
    return { lo, hi };
  });
const value64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const one = (spec: FieldSpec) =>
  table('t', BITS / 8, { ref: 'property', gaps: 'reserved-zero' }, { x: spec as ReturnType<typeof bits> });

describe('field access', () => {
  it('reads and writes any number field as a shift of the whole structure does, and no other bit', () => {
    fc.assert(
      fc.property(range(53), background, value64, ({ hi, lo }, words, raw) => {
        const { x } = one(bits(hi, lo)).f;
        const before = toBig(words);
        expect(BigInt(x.get(words))).toBe(fieldOf(before, hi, lo));
        const value = raw & ((1n << BigInt(hi - lo + 1)) - 1n);
        x.set(words, Number(value));
        expect(toBig(words)).toBe(replace(before, hi, lo, value));
        expect(x.get(words)).toBe(Number(value));
      }),
      SEED,
    );
  });

  it('reads and writes any address in place', () => {
    const place = fc
      .tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 63 }), fc.integer({ min: 1, max: 53 }))
      .map(([word, lo, width]) => ({ lo: word * 64 + lo, hi: word * 64 + Math.min(63, lo + width - 1) }));
    fc.assert(
      fc.property(place, background, value64, ({ hi, lo }, words, raw) => {
        const { x } = one(address(hi, lo)).f;
        const before = toBig(words);
        const inPlace = BigInt(lo % 64);
        expect(BigInt(x.get(words))).toBe(fieldOf(before, hi, lo) << inPlace);
        const value = raw & ((1n << BigInt(hi - lo + 1)) - 1n);
        x.set(words, Number(value << inPlace));
        expect(toBig(words)).toBe(replace(before, hi, lo, value));
        const base = Math.floor(lo / 64) * 2;
        expect(x.of(words[base], words[base + 1])).toBe(x.get(words));
      }),
      SEED,
    );
  });

  it('reads and writes any wide field as two halves', () => {
    fc.assert(
      fc.property(range(64), background, value64, ({ hi, lo }, words, raw) => {
        const { x } = table('t', BITS / 8, { ref: 'property', gaps: 'reserved-zero' }, { x: wide(hi, lo) }).f;
        const before = toBig(words);
        const old = fieldOf(before, hi, lo);
        expect([BigInt(x.getLo(words)), BigInt(x.getHi(words))]).toEqual([old & 0xffff_ffffn, old >> 32n]);
        const value = raw & ((1n << BigInt(hi - lo + 1)) - 1n);
        x.setLoHi(words, Number(value & 0xffff_ffffn), Number(value >> 32n));
        expect(toBig(words)).toBe(replace(before, hi, lo, value));
      }),
      SEED,
    );
  });

  it('refuses every value beyond a field and leaves the words alone', () => {
    fc.assert(
      fc.property(range(52), background, fc.integer({ min: 0, max: 1000 }), ({ hi, lo }, words, beyond) => {
        const { x } = one(bits(hi, lo)).f;
        const before = toBig(words);
        for (const bad of [2 ** (hi - lo + 1) + beyond, -1 - beyond, 0.5, Number.NaN]) {
          expect(() => x.set(words, bad)).toThrow(/does not fit/);
        }
        expect(toBig(words)).toBe(before);
      }),
      SEED,
    );
  });

  it('gives masks that cover exactly the bits of the field', () => {
    fc.assert(
      fc.property(range(53), ({ hi, lo }) => {
        fc.pre(Math.floor(hi / 64) === Math.floor(lo / 64));
        const { x } = one(bits(hi, lo)).f;
        const mask = (BigInt(x.maskHi) << 32n) | BigInt(x.maskLo);
        expect(mask).toBe(replace(0n, hi % 64, lo % 64, (1n << BigInt(hi - lo + 1)) - 1n));
        expect(x.word * 32 + x.shift).toBe(lo);
      }),
      SEED,
    );
  });
});

/** Cuts 32 bits into fields with the given access rules. */
const registers = fc
  .array(
    fc.tuple(
      fc.integer({ min: 1, max: 12 }),
      fc.constantFrom<Access>('rw', 'ro', 'w1c', 'w1s', 'reserved-zero', 'reserved-preserve'),
    ),
    { minLength: 1, maxLength: 32 },
  )
  .map((pieces) => {
    const specs: Record<string, FieldSpec> = {};
    let lo = 0;
    for (const [width, access] of pieces) {
      if (lo > 31) break;
      const hi = Math.min(31, lo + width - 1);
      const field = bits(hi, lo);
      const made = { rw: field, ro: ro(field), w1c: w1c(field), w1s: w1s(field) };
      if (access === 'reserved-zero') specs[`f${lo}`] = reserved(hi, lo);
      else if (access === 'reserved-preserve') specs[`f${lo}`] = preserved(hi, lo);
      else specs[`f${lo}`] = made[access];
      lo = hi + 1;
    }
    return reg32('R', 0, { ref: 'property', gaps: 'reserved-zero' }, specs) as AnyLayout;
  });

/** What one bit is after a write, by its rule. */
const bitAfter: Record<Access, (now: number, written: number) => number> = {
  rw: (_, written) => written,
  ro: (now) => now,
  w1c: (now, written) => now & ~written,
  w1s: (now, written) => now | written,
  'reserved-zero': () => 0,
  'reserved-preserve': (now) => now,
};

describe('a register write', () => {
  it('does to every bit what the rule of its field says', () => {
    const word = fc.integer({ min: 0, max: 0xffff_ffff });
    fc.assert(
      fc.property(registers, word, word, (register, current, written) => {
        const after = register.writeWord(0, current, written);
        for (const { access, hi, lo } of register.fields) {
          for (let pos = lo; pos <= hi; pos++) {
            const expected = bitAfter[access]((current >>> pos) & 1, (written >>> pos) & 1);
            expect((after >>> pos) & 1, `bit ${pos} is ${access}`).toBe(expected);
          }
        }
      }),
      SEED,
    );
  });
});

describe('a declaration', () => {
  it('names every bit exactly once', () => {
    fc.assert(
      fc.property(registers, (register) => {
        const count = new Uint8Array(32);
        for (const { hi, lo } of register.fields) for (let pos = lo; pos <= hi; pos++) count[pos]++;
        expect([...count]).toEqual(Array.from({ length: 32 }, () => 1));
      }),
      SEED,
    );
  });

  it('decodes what it makes, and differs from a copy in the changed fields only', () => {
    fc.assert(
      fc.property(registers, fc.integer({ min: 0, max: 0xffff_ffff }), (register, raw) => {
        const words = Uint32Array.of(raw);
        const again = register.make(register.decode(words));
        const lost = register.diff(words, again).map((d) => d.field);
        const reservedKeys = register.fields.filter((f) => f.shape === 'reserved').map((f) => f.key);
        expect(lost.filter((key) => !reservedKeys.includes(key))).toEqual([]);
      }),
      SEED,
    );
  });
});
