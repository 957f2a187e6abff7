import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isQemuError } from '../errors.js';
import { QtestClient } from './client.js';

/** Answers what it is given, and then that it is out of answers. */
const answering = (lines: readonly string[]) => {
  const left = [...lines];
  return new QtestClient({ send: () => {}, line: () => left.shift() ?? 'ERR no more' });
};

const SEED = { seed: 5, numRuns: 2000 };
const line = fc.oneof(
  fc.string(),
  fc.constantFrom(
    'OK',
    'OK ',
    'OK 0x',
    'OK 0x0000000000000000',
    'FAIL',
    'ERR x',
    'IRQ raise 3',
    'IRQ raise',
    'IRQ lower 0',
  ),
  fc.bigInt({ min: 0n, max: 2n ** 70n }).map((value) => `OK 0x${value.toString(16)}`),
);

describe('QtestClient', () => {
  it('reads values or throws QemuError, whatever is answered', () => {
    fc.assert(
      fc.property(fc.array(line), fc.constantFrom(1, 2, 4, 8), (lines, bytes) => {
        const client = answering(lines);
        const out = new Uint32Array(2);
        try {
          if (bytes === 8) client.read64(0, out);
          else out[0] = client.read(0, bytes as 1 | 2 | 4);
          const first = lines.find((text) => !/^IRQ (raise|lower) \d+$/.test(text))!;
          expect(BigInt(out[1]!) * 2n ** 32n + BigInt(out[0]!)).toBe(
            bytes === 8 ? BigInt(first.slice(3)) : BigInt(first.slice(3)) & 0xffffffffn,
          );
        } catch (error) {
          if (!isQemuError(error, 'PROTOCOL')) throw error;
        }
      }),
      SEED,
    );
  });

  it('sends numbers that are read back as they are, in one line', () => {
    const word = fc.nat(0xffffffff);
    fc.assert(
      fc.property(fc.maxSafeNat(), word, word, fc.constantFrom(1, 2, 4, 8), (address, lo, hi, bytes) => {
        let sent = '';
        const client = new QtestClient({ send: (lines) => void (sent += lines), line: () => 'OK' });
        client.write(address, bytes as 1 | 2 | 4 | 8, lo, hi);
        const match = /^write[bwlq] (0x[0-9a-f]+) (0x[0-9a-f]+)\n$/.exec(sent)!;
        const whole = (BigInt(hi) << 32n) | BigInt(lo);
        expect([BigInt(match[1]!), BigInt(match[2]!)]).toEqual([BigInt(address), BigInt.asUintN(bytes * 8, whole)]);
      }),
      SEED,
    );
  });
});
