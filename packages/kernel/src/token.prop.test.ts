import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Choices, decodeToken, encodeToken, shortHash, TokenError } from './index.js';

const choices = fc
  .array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 50 })
  .map((list) => [...new Map(list)].sort(([a], [b]) => a - b) as Choices);

/** Texts that look like tokens almost. */
const alike = fc.oneof(
  fc.string(),
  fc.string({ unit: 'grapheme' }),
  fc.stringMatching(/^ik\d{1,3}\.[0-9a-z]{0,8}\.[0-9A-Za-z_-]*$/),
  fc.stringMatching(/^ik1\.0\.[0-9A-Za-z_-]{1,200}$/),
  fc.nat(400).map((n) => `ik1.0.${'_'.repeat(n)}0`),
);

describe('a token', () => {
  it('gives back the choices it was made of', () => {
    fc.assert(
      fc.property(choices, (list) => {
        expect(decodeToken(encodeToken('0', list), '0')).toEqual(list);
      }),
      { seed: 8 },
    );
  });

  it('is short: two letters for a choice nearby', () => {
    expect(
      encodeToken('k3', [
        [0, 1],
        [5, 2],
      ]),
    ).toBe('ik1.k3.0142');
    expect(encodeToken('k3', [])).toBe('ik1.k3.0');
    expect(decodeToken('ik1.k3.0142', 'k3')).toEqual([
      [0, 1],
      [5, 2],
    ]);
  });

  it('throws nothing but TokenError, whatever text it is read from', () => {
    fc.assert(
      fc.property(alike, fc.constantFrom('0', 'abc'), (text, hash) => {
        try {
          const list = decodeToken(text, hash);
          expect(list.every(([asked, index]) => Number.isSafeInteger(asked) && Number.isSafeInteger(index))).toBe(true);
        } catch (error) {
          if (!(error instanceof TokenError)) throw error;
        }
      }),
      { seed: 9, numRuns: 2000 },
    );
  });

  it('is refused with the reason: malformed, of another version, of other settings, cut short, damaged', () => {
    const why = (text: string): string => {
      try {
        decodeToken(text, 'k3');
      } catch (error) {
        return (error as Error).message;
      }
      return 'accepted';
    };
    expect(why('hello')).toBe("'hello' is not a schedule token; a token looks like ik1.k3.0");
    expect(why('ik7.k3.0')).toBe('token version ik7 is not the ik1 of this release; run again to get a new one');
    expect(why('ik1.zz.0')).toMatch(/another scenario, platform or --set \(zz, this is k3\)/);
    expect(why('ik1.k3.014')).toBe('the token is cut short; paste all of it');
    expect(why('ik1.k3.01w')).toBe('the token is cut short; paste all of it');
    expect(why('ik1.k3.______________11')).toBe('the token counts beyond 2^53; it is damaged');
    expect(why(`ik1.k3.${'v'.repeat(3)}`)).toBe('the token is cut short; paste all of it');
  });
});

describe('shortHash', () => {
  it('is FNV-1a: the known values of the empty text and of "a"', () => {
    expect([shortHash(''), shortHash('a')]).toEqual([(0x811c9dc5).toString(36), (0xe40c292c).toString(36)]);
  });
});
