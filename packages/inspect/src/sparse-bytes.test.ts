import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SparseBytes } from './index.js';

describe('SparseBytes', () => {
  it('gives back what was appended, in whatever pieces, and keeps only pages that are not zeros', () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.nat({ max: 9000 }).map((length) => new Uint8Array(length)),
      fc.nat({ max: 9000 }).map((length) => new Uint8Array(length).fill(0x80)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.nat(), fc.nat({ max: 10000 }), (pieces, from, length) => {
        const whole = Uint8Array.from(pieces.flatMap((bytes) => [...bytes]));
        const sparse = new SparseBytes('packed');
        for (const bytes of pieces) {
          if (bytes.length > 0 && bytes.every((byte) => byte === 0)) sparse.appendZeros(bytes.length);
          else sparse.append(bytes);
        }
        expect(sparse.size).toBe(whole.length);
        const offset = whole.length === 0 ? 0 : from % whole.length;
        const into = new Uint8Array(Math.min(length, whole.length - offset)).fill(0xee);
        sparse.read(offset, into);
        expect(Buffer.compare(into, whole.subarray(offset, offset + into.length))).toBe(0);
        const full = Array.from({ length: Math.ceil(whole.length / 4096) }, (_, n) => n).filter((n) =>
          whole.subarray(n * 4096, n * 4096 + 4096).some((byte) => byte !== 0),
        );
        expect([...sparse.pages.keys()].sort((a, b) => a - b)).toEqual(full);
      }),
      { seed: 20252, numRuns: 300 },
    );
  });

  it('keeps 16 MiB of zeros in nothing', () => {
    const sparse = new SparseBytes();
    const zeros = new Uint8Array(65536);
    for (let n = 0; n < 256; n++) sparse.append(zeros);
    expect([sparse.size, sparse.kept]).toEqual([2 ** 24, 0]);
  });
});
