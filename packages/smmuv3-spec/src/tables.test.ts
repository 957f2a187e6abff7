import type { AnyLayout } from '@iommukit/bitfield';
import { describe, expect, it } from 'vitest';
import { CD_BITS, FAULT_BITS, PRI_BITS, STE_BITS } from '../test/golden-bits.js';
import { hex, words } from '../test/words.js';
import {
  ASET,
  CD,
  FaultEvent,
  L1CD,
  L1STD,
  OAS,
  PriRequest,
  S1DSS,
  STE,
  STE_CONFIG,
  TG0,
  WALK_CACHE,
} from './index.js';

const golden: [string, AnyLayout, string][] = [
  ['STE', STE, STE_BITS],
  ['CD', CD, CD_BITS],
  ['fault record', FaultEvent, FAULT_BITS],
  ['PRI record', PriRequest, PRI_BITS],
];

describe.each(golden)('the %s', (_, layout, text) => {
  const rows = text
    .trim()
    .split('\n')
    .map((line) => line.split(' '));

  it('has the bits of each field where the specification has them', () => {
    for (const [key, dword, mask] of rows) {
      const info = layout.fields.find((field) => field.key === key);
      const expected = Array.from({ length: layout.bytes / 8 }, () => `0x${'0'.repeat(16)}`);
      expected[Number(dword.slice(2))] = mask;
      const ones = words(...expected.map(BigInt));
      const value = layout.decode(ones)[key];
      const made = layout.make({ [key]: value });
      const others = layout.fields.filter((field) => field.key !== key && field.preset !== 0);
      expect(others, 'no presets in the way').toEqual([]);
      expect([info?.key, ...hex(made)]).toEqual([key, ...expected]);
    }
  });

  it('has no field that the specification does not have', () => {
    const named = layout.fields.filter((field) => field.shape !== 'reserved').map((field) => field.key);
    expect(named.sort()).toEqual(rows.map(([key]) => key).sort());
  });
});

describe('level-1 descriptors', () => {
  it('hold a span and an aligned pointer in the stream table', () => {
    expect(hex(L1STD.make({ span: 9, l2Ptr: 0x40a6_0000 }))).toEqual(['0x0000000040a60009']);
    expect(L1STD.f.l2Ptr.max).toBe(0x00ff_ffff_ffff_ffc0);
    expect(() => L1STD.make({ l2Ptr: 0x20 })).toThrow(/L2Ptr/);
  });

  it('hold a valid bit and a page-aligned pointer in the CD table', () => {
    expect(hex(L1CD.make({ v: 1, l2Ptr: 0x12_3456_7000 }))).toEqual(['0x0000001234567001']);
    expect(() => L1CD.make({ l2Ptr: 0x800 })).toThrow(/L2Ptr/);
  });
});

describe('entries that a Linux 6.12 kernel wrote', () => {
  it('read as a stage 1 stream with one CD', () => {
    const ste = STE.decode(words(0x4863900bn, 0xd6n, 0n, 0n, 0n, 0n, 0n, 0n));
    expect(ste).toMatchObject({
      v: 1,
      config: STE_CONFIG.S1,
      s1Fmt: 0,
      s1ContextPtr: 0x4863_9000,
      s1cdMax: 0,
      s1dss: S1DSS.SSID0,
      s1cir: WALK_CACHE.WB_RA,
      s1cor: WALK_CACHE.WB_RA,
      s1csh: 3,
      eats: 0,
    });
  });

  it('read as a context of a 48-bit address space', () => {
    const raw = words(0x0003_e204_c000_3510n, 0x4863_a000n, 0n, 0xffff_ffff_f404_ff44n, 0n, 0n, 0n, 0n);
    const values = {
      t0sz: 16,
      tg0: TG0.GRANULE_4K,
      ir0: 1,
      or0: 1,
      sh0: 3,
      epd1: 1,
      v: 1,
      ips: OAS.BITS_44,
      aa64: 1,
      r: 1,
      a: 1,
      aset: ASET.PRIVATE,
      asid: 3,
      ttb0: 0x4863_a000,
      mair0: 0xf404_ff44,
      mair1: 0xffff_ffff,
    };
    expect(CD.decode(raw)).toMatchObject(values);
    expect(hex(CD.make(values))).toEqual(hex(raw));
    expect(CD.hasReserved(raw)).toBe(false);
  });
});

it('prints an entry in the names of the specification', () => {
  const text = STE.format(words(0x4863900bn, 0xd6n, 0n, 0n, 0n, 0n, 0n, 0n), { zeros: false });
  expect(text.split('\n').slice(1, 4)).toEqual([
    '  V             [0]      1',
    '  Config        [3:1]    5                   S1',
    '  S1ContextPtr  [55:6]   0x0000000048639000',
  ]);
});
