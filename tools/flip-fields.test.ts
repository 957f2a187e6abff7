import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { table } from '../packages/bitfield/src/index.js';
import { bundleTests, literalTests } from './flip-fields/bundle-tests.js';
import { printFlips, reportFlips } from './flip-fields/flip-report.js';
import { flippedBitfield, flipsOf } from './flip-fields/flipped-bitfield.js';
import { main } from './flip-fields.js';

const root = fileURLToPath(new URL('fixtures/fields', import.meta.url));
const sample = `${root}/packages/sample-spec`;
const address = (hi: number, lo: number) => flippedBitfield(null).exports.address(hi, lo);

describe('moved fields', () => {
  it('go up by one, or down where nothing is above; an address stays in its 64-bit word', () => {
    const { bit, bits } = flippedBitfield(null).exports;
    const entry = table(
      'e',
      16,
      { ref: 'x', gaps: 'reserved-zero' },
      { a: bit(0), b: address(63, 12), c: bits(127, 100) },
    );
    expect(flipsOf([entry]).map(({ key, by }) => [key, by])).toEqual([
      ['a', 1],
      ['b', -1],
      ['c', -1],
    ]);
  });

  it('are moved in every view of a structure, over a neighbour too, and only the one field of the one structure', () => {
    const flip = { layout: 1, structure: 'two', key: 'a', hi: 0, lo: 0, by: 1 } as const;
    const { exports, layouts } = flippedBitfield(flip);
    const declare = (name: string) =>
      exports.table(name, 4, { ref: 'x', gaps: 'reserved-preserve' }, { a: exports.bit(0), b: exports.ro(1) });
    const [one, two] = [declare('one'), declare('two')];
    expect([one.make({ a: 1 })[0], two.make({ a: 1 })[0], two.f.a.get(Uint32Array.of(2))]).toEqual([1, 2, 1]);
    expect(two.decode(Uint32Array.of(1))).toEqual({ a: 0, b: 0 });
    expect(two.fields.map(({ key, lo }) => [key, lo]).slice(0, 2)).toEqual([
      ['a', 1],
      ['b', 1],
    ]);
    expect([one.writeWord(0, 0, 3), two.writeWord(0, 0, 3)]).toEqual([1, 2]);
    expect(layouts).toEqual([one, two]);
  });
});

describe('the report', () => {
  it('names the fields that no literal test notices', async () => {
    const report = await reportFlips('sample-spec', sample);
    expect(report).toMatchObject({ tests: 4, fields: 6, percent: (100 * 5) / 6 });
    expect(printFlips([report], 95)).toEqual([
      'sample-spec  5 of 6 moved fields caught (83.3 %), at least 95 % are wanted',
      '',
      'No test notices:',
      '  sample-spec: entry.spare moved from [5:5] to [6:6]',
    ]);
  });

  it('is not made of tests that fail anyway', async () => {
    const weak = `${sample}/src/weak.prop.test.ts`;
    expect(literalTests(sample)).toEqual([`${sample}/src/index.test.ts`]);
    const bundle = await bundleTests([weak], sample);
    expect(() => bundle(() => ({}))).toThrow('properties are not run');
    await expect(reportFlips('other', `${root}/packages/other`)).rejects.toThrow(/other: loading fails already/);
  });
});

describe('the command', () => {
  const said: string[] = [];
  beforeEach(() => {
    said.length = 0;
    for (const stream of ['log', 'error'] as const) {
      vi.spyOn(console, stream).mockImplementation((line: string) => void said.push(line));
    }
  });
  afterEach(() => vi.restoreAllMocks());

  it('returns 1 where tests catch too little, and 2 for what it does not understand', async () => {
    expect(await main([], root)).toBe(1);
    expect(await main(['--check'], root)).toBe(1);
    expect(said.at(-1)).toBe('5 of 6 moved fields caught, 1 packages below 95 %');
    expect(await main(['--verbose'], root)).toBe(2);
    expect(said.at(-1)).toContain('--help');
    expect(await main(['other'], root)).toBe(2);
    expect(said.at(-1)).toBe('no declarations in other; there are some in sample-spec');
    expect(await main([], `${root}/packages`)).toBe(2);
    expect(await main(['--help'], root)).toBe(0);
    expect(said.at(-1)).toContain('--json');
  });

  it('prints JSON for programs', async () => {
    await main(['--json'], root);
    expect(JSON.parse(said.join('\n'))).toMatchObject([
      { package: 'sample-spec', survivors: [{ key: 'spare', by: 1 }] },
    ]);
  });
});
