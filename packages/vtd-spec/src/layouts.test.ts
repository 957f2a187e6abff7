import type { AnyLayout } from '@iommukit/bitfield';
import { describe, expect, it } from 'vitest';
import { REGISTER_BITS } from '../test/golden-registers.js';
import { DESCRIPTOR_BITS, TABLE_BITS } from '../test/golden-tables.js';
import * as spec from './index.js';

interface Row {
  readonly key: string;
  readonly hi: number;
  readonly lo: number;
  readonly access: string;
}

/** Rows of `key [qwN] hi:lo [access]`, in bits of the whole structure. */
const rowsOf = (text: string): Row[] =>
  text.split(',').map((item) => {
    const [, key, word, hi, lo, access] = /^\s*(\w+) (?:qw(\d) )?(\d+)(?::(\d+))?(?: (\w+))?\s*$/.exec(item) ?? [];
    if (key === undefined) throw new Error(`not understood: '${item}'`);
    const base = 64 * Number(word ?? 0);
    return { key, hi: base + Number(hi), lo: base + Number(lo ?? hi), access: access ?? 'rw' };
  });

const declared = (layout: AnyLayout): Row[] =>
  layout.fields
    .filter((field) => field.shape !== 'reserved')
    .map(({ key, hi, lo, access }) => ({ key, hi, lo, access }));

const byKey = (rows: readonly Row[]): Row[] => [...rows].sort((a, b) => a.key.localeCompare(b.key));

const exported: Readonly<Record<string, unknown>> = { ...spec };
const structures = Object.entries({ ...TABLE_BITS, ...DESCRIPTOR_BITS });

describe.each(structures)('%s', (name, text) => {
  const layout = exported[name] as AnyLayout;

  it('has exactly the fields of the fact sheet, at their bits', () => {
    const strip = (rows: Row[]) => byKey(rows).map(({ key, hi, lo }) => `${key} ${hi}:${lo}`);
    expect(strip(declared(layout))).toEqual(strip(rowsOf(text)));
  });

  it('takes every other bit for reserved', () => {
    const taken = new Set(rowsOf(text).flatMap(({ hi, lo }) => Array.from({ length: hi - lo + 1 }, (_, i) => lo + i)));
    for (let bit = 0; bit < layout.bytes * 8; bit++) {
      const words = new Uint32Array(layout.words);
      words[bit >>> 5] = 2 ** (bit & 31);
      expect([bit, layout.hasReserved(words)]).toEqual([bit, !taken.has(bit)]);
    }
  });
});

describe('the exports', () => {
  it('have no structure without golden bits', () => {
    const isTable = (value: unknown) => (value as { kind?: string } | null)?.kind === 'table';
    const names = Object.keys(exported).filter((name) => isTable(exported[name]));
    expect(names.filter((name) => name !== 'InterruptAddress').sort()).toEqual(structures.map(([name]) => name).sort());
  });

  it('hold the address of a remappable interrupt request', () => {
    const { f } = spec.InterruptAddress;
    const words = Uint32Array.of(0xfee0_0018 + (0x12 << 5));
    expect([f.base.get(words), f.format.get(words), f.shv.get(words), f.handle.get(words)]).toEqual([
      0xfee, 1, 1, 0x12,
    ]);
    expect([f.handleHigh.get(Uint32Array.of(4)), f.shv.get(Uint32Array.of(8))]).toEqual([1, 1]);
    expect(f.handle.get(Uint32Array.of(0x000f_ffe0))).toBe(0x7fff);
    expect(f.handle.get(Uint32Array.of(0xfff0_001f))).toBe(0);
  });
});

const registers = [...spec.REGISTERS, ...spec.IOTLB_REGISTERS];
const lines = REGISTER_BITS.trim()
  .split('\n')
  .map((line) => line.split(': '));

describe('registers', () => {
  it('are those of the fact sheet, at their offsets and with their widths', () => {
    const hex = (offset: number) => `0x${offset.toString(16).padStart(3, '0')}`;
    const found = registers.map(({ name, offset, bytes }) => `${name} ${hex(offset)} ${bytes * 8}`);
    expect(found).toEqual(lines.map(([head]) => head));
  });

  it.each(lines)('%s has its fields and their access rules', (head, text) => {
    const register = registers.find(({ name }) => name === head.split(' ')[0]);
    expect(byKey(declared(register as AnyLayout))).toEqual(byKey(rowsOf(text)));
  });

  it('do not overlap', () => {
    const { REGISTERS } = spec;
    for (let i = 1; i < REGISTERS.length; i++) {
      expect(REGISTERS[i - 1].offset + REGISTERS[i - 1].bytes).toBeLessThanOrEqual(REGISTERS[i].offset);
    }
  });

  it('start with every event masked, and all else zero', () => {
    const set = registers.filter((register) => register.reset().some((word) => word !== 0));
    expect(set.map(({ name }) => name)).toEqual(['FECTL', 'IECTL', 'PECTL']);
    expect(set.map((register) => [...register.reset()])).toEqual([[0x8000_0000], [0x8000_0000], [0x8000_0000]]);
  });

  it('let GCMD repeat exactly its five level bits', () => {
    expect(spec.GCMD_LEVELS).toBe(0x9680_0000);
    expect(spec.GCMD.pack({ te: 1, eafl: 1, qie: 1, ire: 1, cfi: 1 })).toBe(0x9680_0000);
  });

  it('keep the virtual command registers at no settled place (D-7)', () => {
    expect(spec.VIRTUAL_COMMAND_OFFSETS).toEqual({
      linux: { vcmd: 0xe00, vcrsp: 0xe10, vccap: 0xe30 },
      text2021: { vccap: 0xe00, vcmd: 0xe10, vcrsp: 0xe20 },
    });
  });
});
