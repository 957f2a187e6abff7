import { describe, expect, it } from 'vitest';
import { decodeRange, encodeRange } from './range.js';

/** Section 2.4 of the fact sheet: address, order (log2 of pages), bits 63:32 and 31:0 without flags. */
const LITERALS: readonly (readonly [what: string, address: number, order: number, hi: number, lo: number])[] = [
  ['4 KiB at 0x5000', 0x5000, 0, 0, 0x5000],
  ['8 KiB at 0x8000', 0x8000, 1, 0, 0x8800],
  ['16 KiB at 0x8000', 0x8000, 2, 0, 0x9800],
  ['64 KiB at 0x10000', 0x10000, 4, 0, 0x17800],
  ['2 MiB at 0x40000000', 0x40000000, 9, 0, 0x400ff800],
  ['the whole space', 0, 52, 0x7fffffff, 0xfffff800],
];

describe('encodeRange', () => {
  it.each(LITERALS)('encodes %s as the fact sheet does', (_what, address, order, hi, lo) => {
    const words = new Uint32Array(2);
    encodeRange(words, 0, address / 4096, order);
    expect([...words]).toEqual([lo, hi]);
  });

  it('aligns the page down to the range', () => {
    const words = new Uint32Array(2);
    encodeRange(words, 0, 0x8003, 2);
    expect([...words]).toEqual([0x8001800, 0]);
  });
});

describe('decodeRange', () => {
  it.each(LITERALS)('decodes %s', (_what, address, order, hi, lo) => {
    const out = { page: -1, order: -1 };
    decodeRange(lo, hi, out);
    expect(out).toEqual({ page: address / 4096, order });
  });

  it('takes a word of all ones for everything', () => {
    const out = { page: -1, order: -1 };
    decodeRange(0xffffffff, 0xffffffff, out);
    expect(out).toEqual({ page: 0, order: 52 });
  });

  it('ignores the flags below the address', () => {
    const out = { page: -1, order: -1 };
    decodeRange(0x57ff, 0, out);
    expect(out).toEqual({ page: 5, order: 0 });
  });
});
