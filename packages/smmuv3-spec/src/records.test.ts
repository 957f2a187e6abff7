import type { AnyLayout } from '@iommukit/bitfield';
import { describe, expect, it } from 'vitest';
import { COMMAND_BITS, EVENT_BITS } from '../test/golden-records.js';
import * as spec from './index.js';

/** Fields as `key hi:lo` in bits of the whole structure, from rows of `key dwN hi:lo`. */
const fieldsOf = (text: string): string[] =>
  text
    .split(',')
    .map((item) => {
      const [, key, dword, hi, lo] = /^\s*(\w+) dw(\d) (\d+)(?::(\d+))?\s*$/.exec(item) ?? [];
      if (key === undefined) throw new Error(`not understood: '${item}'`);
      const base = 64 * Number(dword);
      return `${key} ${base + Number(hi)}:${base + Number(lo ?? hi)}`;
    })
    .sort();

const exported: Readonly<Record<string, unknown>> = { ...spec };
const golden = Object.entries({ ...COMMAND_BITS, ...EVENT_BITS });

describe('commands and event records', () => {
  it.each(golden)('%s has exactly the fields of the fact sheet, at their bits', (name, text) => {
    const named = (exported[name] as AnyLayout).fields.filter(({ shape }) => shape !== 'reserved');
    expect(named.map(({ key, hi, lo }) => `${key} ${hi}:${lo}`).sort()).toEqual(fieldsOf(text));
  });

  it('are all here', () => {
    const records = Object.keys(exported).filter((name) => {
      const { ref, kind } = exported[name] as { ref?: string; kind?: string };
      return kind === 'table' && /^smmuv3\.md (4|5\.[12])/.test(ref ?? '');
    });
    expect(records.sort()).toEqual(golden.map(([name]) => name).sort());
  });
});
