import { describe, expect, it } from 'vitest';
import { CONTEXT_DESCRIPTOR, STREAM_ENTRY } from './index.js';

/** Bits [hi:lo] of a 64-bit word. */
const bits = (hi: number, lo = hi): bigint => ((1n << BigInt(hi - lo + 1)) - 1n) << BigInt(lo);

/** 64-bit words as an entry. */
function entryOf(...words: readonly bigint[]): Uint32Array {
  return Uint32Array.from({ length: 16 }, (_, i) =>
    Number(((words[i >> 1] ?? 0n) >> (i % 2 === 0 ? 0n : 32n)) & 0xffff_ffffn),
  );
}

/** An entry as 64-bit words, in hexadecimal. */
function shown(entry: Uint32Array): string[] {
  return Array.from({ length: 8 }, (_, i) => ((BigInt(entry[2 * i + 1]!) << 32n) | BigInt(entry[2 * i]!)).toString(16));
}

const used = (kind: typeof STREAM_ENTRY, ...words: readonly bigint[]): string[] => {
  const out = new Uint32Array(16);
  kind.used(entryOf(...words), out);
  return shown(out);
};

// Config is dw0[3:1], S1DSS dw1[1:0] (smmuv3.md 2.2).
const HEAD = bits(3, 0);
const SHCFG = bits(45, 44);
const STAGE1 = [
  HEAD | bits(5, 4) | bits(55, 6) | bits(63, 59),
  bits(7, 0) | bits(19) | bits(27) | bits(29, 28) | bits(31, 30),
  bits(15, 0),
] as const;
const STAGE2 = [
  HEAD,
  bits(19) | bits(25) | bits(29, 28) | SHCFG,
  bits(15, 0) | bits(51, 32) | bits(52) | bits(54) | bits(57) | bits(58),
  bits(55, 4),
] as const;

describe('the bits of a stream table entry that hardware looks at (SMMU-2)', () => {
  const rows: [string, readonly bigint[], readonly bigint[]][] = [
    ['an invalid one: V alone', [0xfffe_ffff_ffff_fffen, ~0n & bits(63, 0)], [1n]],
    ['abort: V and Config', [0b0001n, bits(63, 0)], [HEAD]],
    ['bypass: SHCFG too', [0b1001n], [HEAD, SHCFG]],
    ['stage 1', [0b1011n, 2n], STAGE1],
    [
      'stage 1 where requests without a PASID bypass it: SHCFG too',
      [0b1011n, 1n],
      [STAGE1[0], STAGE1[1] | SHCFG, STAGE1[2]],
    ],
    ['stage 2', [0b1101n], STAGE2],
    ['both stages', [0b1111n], [STAGE1[0], STAGE1[1] | STAGE2[1], STAGE2[2], STAGE2[3]]],
  ];
  it.each(rows)('%s', (_, entry, mask) => {
    expect(used(STREAM_ENTRY, ...entry)).toEqual(shown(entryOf(...mask)));
  });
});

describe('the bits of a stream table entry that may change at any moment (SMMU-5)', () => {
  const safe = (current: readonly bigint[], target: readonly bigint[]): string => {
    const out = new Uint32Array(16);
    STREAM_ENTRY.safe(entryOf(...current), entryOf(...target), out);
    return shown(out)[1]!;
  };
  const [mev, full] = [bits(19), bits(28)];

  it('are MEV, and full ATS unless either side splits it or stalls stage 2', () => {
    const plain = [0b1011n, 0n];
    expect(safe(plain, plain)).toBe((mev | full).toString(16));
    expect(safe(plain, [0b1111n, bits(29)])).toBe(mev.toString(16));
    expect(safe([0b1111n, 0n, bits(57)], plain)).toBe(mev.toString(16));
  });
});

describe('the bits of a context descriptor that hardware looks at (SMMU-3)', () => {
  it('are V alone, all, or all but those of the walk that EPD0 switches off', () => {
    const all = Array.from({ length: 8 }, () => bits(63, 0));
    expect(used(CONTEXT_DESCRIPTOR, 0n, bits(63, 0))).toEqual(shown(entryOf(bits(31))));
    expect(used(CONTEXT_DESCRIPTOR, bits(31))).toEqual(shown(entryOf(...all)));
    const walk = [bits(63, 0) & ~(bits(5, 0) | bits(7, 6) | bits(13, 8)), bits(63, 0) & ~bits(55, 4)];
    expect(used(CONTEXT_DESCRIPTOR, bits(31) | bits(14))).toEqual(shown(entryOf(...walk, ...all.slice(2))));
  });
});
