import { describe, expect, it } from 'vitest';
import {
  address,
  BitfieldError,
  bit,
  bits,
  dw,
  enumOf,
  isBitfieldError,
  named,
  preserved,
  preset,
  reg32,
  reg64,
  reserved,
  ro,
  table,
  w1c,
  w1s,
  wide,
} from './index.js';

const MODE = enumOf({ OFF: 0, ON: 1, BOTH: 3 });

const Entry = table(
  'entry',
  32,
  { ref: 'test 1', gaps: 'reserved-zero' },
  {
    v: bit(0, 'valid'),
    mode: named('Mode', bits(2, 1, MODE, 'what it does')),
    ptr: named('Ptr', address(55, 6, 'next table')),
    asid: bits(79, 64),
    span: bits(100, 90),
    whole: bits(159, 128),
    ipa: address(247, 204),
  },
);

describe('a declared table', () => {
  it('reads and writes a field inside one word', () => {
    const words = new Uint32Array(8);
    Entry.f.asid.set(words, 0xbeef);
    expect([...words]).toEqual([0, 0, 0xbeef, 0, 0, 0, 0, 0]);
    expect(Entry.f.asid.get(words)).toBe(0xbeef);
  });

  it('keeps an address in place, over both halves of its word', () => {
    const words = Entry.make({ v: 1, ptr: 0x12_3456_7fc0 });
    expect([words[0], words[1]]).toEqual([0x3456_7fc1, 0x12]);
    expect(Entry.f.ptr.get(words)).toBe(0x12_3456_7fc0);
    expect(Entry.f.ptr.of(words[0], words[1])).toBe(0x12_3456_7fc0);
  });

  it('joins a field that crosses a 32-bit word', () => {
    const words = Entry.make({ span: 0x7a5 });
    expect([words[2], words[3]]).toEqual([0x9400_0000, 0x1e]);
    expect(Entry.f.span.get(words)).toBe(0x7a5);
  });

  it('takes the structure at any word of a larger array', () => {
    const words = new Uint32Array(24).fill(0xffff_ffff);
    Entry.set(words, { v: 0, whole: 0x8000_0001 }, 8);
    expect(words[8]).toBe(0xffff_fffe);
    expect(words[12]).toBe(0x8000_0001);
    expect(Entry.f.whole.get(words, 8)).toBe(0x8000_0001);
    expect(words.filter((word) => word === 0xffff_ffff)).toHaveLength(22);
  });

  it('decodes what it made', () => {
    const values = { v: 1, mode: MODE.BOTH, ptr: 0xff_0000_0040, asid: 7, span: 1, whole: 0xffff_ffff, ipa: 0x7f_f000 };
    expect(Entry.decode(Entry.make(values))).toEqual(values);
  });

  it('refuses a value that does not fit, names the field and changes nothing', () => {
    const words = Entry.make({ asid: 5 });
    const attempts: [() => void, RegExp][] = [
      [() => Entry.f.asid.set(words, 0x1_0000), /entry\.ASID: 0x10000 does not fit 16 bits/],
      [() => Entry.f.asid.set(words, -1), /-1 does not fit/],
      [() => Entry.f.asid.set(words, 1.5), /1\.5 does not fit/],
      [() => Entry.f.asid.set(words, 0x1_0000_0000), /does not fit/],
      [() => Entry.f.ptr.set(words, 0x20), /entry\.Ptr: 0x20 does not fit address bits \[55:6\]/],
      [() => Entry.f.ptr.set(words, 2 ** 56), /does not fit/],
      [() => Entry.f.ptr.set(words, -64), /does not fit/],
      [() => Entry.f.whole.set(words, 2 ** 32), /does not fit 32 bits/],
      [() => Entry.f.span.set(words, 2048), /does not fit 11 bits/],
      [() => Entry.set(words, { v: 1, asid: 0x1_0000 }), /does not fit/],
      [() => Entry.set(words, { v: 1, ['asdi' as 'asid']: 1 }), /entry has no field asdi; it has v, mode/],
    ];
    for (const [attempt, message] of attempts) expect(attempt).toThrow(message);
    expect([...words]).toEqual([...Entry.make({ asid: 5 })]);
  });

  it('tells its errors from others', () => {
    const wrong = new BitfieldError('range', 'x');
    expect([isBitfieldError(wrong), isBitfieldError(new Error('x'))]).toEqual([true, false]);
  });

  it('lists differences by field, reserved bits too', () => {
    const from = Entry.make({ v: 1, asid: 5 });
    const to = Entry.make({ v: 1, asid: 6 });
    to[0] |= 0x8;
    expect(Entry.diff(from, to)).toEqual([
      { field: 'reserved[5:3]', specName: 'RES0', from: 0, to: { lo: 1, hi: 0 } },
      { field: 'asid', specName: 'ASID', from: 5, to: 6 },
    ]);
    expect(Entry.diff(from, from)).toEqual([]);
  });

  it('prints names, ranges and addresses in columns', () => {
    const words = Entry.make({ v: 1, mode: MODE.BOTH, ptr: 0x40 });
    expect(Entry.format(words, { zeros: false, docs: true })).toBe(
      [
        'entry  0x0000000000000047 0x0000000000000000 0x0000000000000000 0x0000000000000000',
        '  V     [0]     1                         valid',
        '  Mode  [2:1]   3                   BOTH  what it does',
        '  Ptr   [55:6]  0x0000000000000040        next table',
      ].join('\n'),
    );
    expect(Entry.format(words)).toContain('\n  ASID   [79:64]    0\n');
  });

  it('knows the names of values and the masks of fields', () => {
    expect([Entry.f.mode.nameOf(3), Entry.f.mode.nameOf(2), Entry.f.v.nameOf(1)]).toEqual(['BOTH', null, null]);
    const { ptr, span } = Entry.f;
    expect([ptr.maskLo, ptr.maskHi, ptr.word, ptr.shift]).toEqual([0xffff_ffc0, 0x00ff_ffff, 0, 6]);
    expect([span.maskLo, span.maskHi, span.word, span.shift]).toEqual([0xfc00_0000, 0x1f, 2, 26]);
  });

  it('reports reserved bits that are set', () => {
    const words = Entry.make({ v: 1 });
    expect(Entry.hasReserved(words)).toBe(false);
    words[3] = 0x8000_0000;
    expect(Entry.hasReserved(words)).toBe(true);
  });

  it('reads wide fields as two halves', () => {
    const Wide = table('wide', 24, { ref: 'test 2', gaps: 'reserved-zero' }, { all: wide(63, 0), odd: wide(143, 84) });
    const words = Wide.make({ all: { lo: 1, hi: 0xffff_ffff }, odd: 0x12_3456_789a_bcd0 });
    expect([...words]).toEqual([1, 0xffff_ffff, 0xcd00_0000, 0x4567_89ab, 0x123, 0]);
    expect(Wide.decode(words)).toEqual({ all: { lo: 1, hi: 0xffff_ffff }, odd: { lo: 0x789a_bcd0, hi: 0x12_3456 } });
    expect(() => Wide.f.odd.setLoHi(words, 0, 0x1000_0000)).toThrow(/does not fit 60 bits/);
    expect(() => Wide.make({ all: 2 ** 60 })).toThrow(/not exact as a number/);
  });

  it('numbers fields within a 64-bit word where dw says so', () => {
    const Pair = table(
      'pair',
      16,
      { ref: 'test 4' },
      {
        ...dw(0, { low: wide(63, 0) }),
        ...dw(1, { n: bits(11, 0), stallModel: address(63, 12) }),
      },
    );
    expect([...Pair.make({ n: 0xabc, stallModel: 0x1_0000_1000 })]).toEqual([0, 0, 0x1abc, 1]);
    expect(Pair.fields.map((field) => `${field.specName}[${field.hi}:${field.lo}]`)).toEqual([
      'LOW[63:0]',
      'N[75:64]',
      'STALL_MODEL[127:76]',
    ]);
    expect(() => dw(1, { n: bits(64, 64) })).toThrow(/not within one 64-bit word/);
  });

  it('fills in presets', () => {
    const Sync = table('sync', 8, { ref: 'test 3' }, { op: preset(0x46, bits(7, 0)), rest: wide(63, 8) });
    expect(Sync.make()[0]).toBe(0x46);
    expect(Sync.make({ op: 1 })[0]).toBe(1);
  });
});

describe('a wrong declaration', () => {
  const cases: [string, () => unknown, RegExp][] = [
    [
      'fields overlap',
      () => table('t', 4, { ref: '' }, { a: bits(7, 0), b: bits(31, 7) }),
      /a \[7:0\] and b \[31:7\] overlap/,
    ],
    [
      'a gap has no name',
      () => table('t', 4, { ref: '' }, { a: bits(7, 0), b: bits(31, 9) }),
      /no field names bits \[8\], between a \[7:0\] and b/,
    ],
    [
      'the last bits have no name',
      () => table('t', 4, { ref: '' }, { a: bits(7, 0) }),
      /\[31:8\], between a \[7:0\] and the end/,
    ],
    [
      'a field lies outside',
      () => reg32('r', 0, { ref: '' }, { a: bits(32, 0) }),
      /r\.a \[32:0\] lies outside the structure/,
    ],
    ['hi and lo are swapped', () => reg32('r', 0, { ref: '' }, { a: bits(0, 31) }), /write bits as \[hi:lo\]/],
    ['a number is too wide', () => table('t', 8, { ref: '' }, { a: bits(63, 0) }), /64 bits, a number holds 53/],
    ['a pair is too wide', () => table('t', 16, { ref: '' }, { a: wide(127, 0) }), /128 bits, wide\(\) holds 64/],
    ['an address is too wide', () => table('t', 8, { ref: '' }, { a: address(63, 0) }), /64 significant bits/],
    ['an address leaves its word', () => table('t', 16, { ref: '' }, { a: address(70, 40) }), /within one 64-bit word/],
    [
      'an enum value is too large',
      () => reg32('r', 0, { ref: '' }, { a: bits(31, 0), b: bits(1, 0, { X: 4 }) }),
      /X = 4 does not fit 2 bits/,
    ],
    [
      'a preset is too large',
      () => reg32('r', 0, { ref: '' }, { a: preset(2, bit(0)) }),
      /the preset = 2 does not fit/,
    ],
    ['two enum names share a value', () => enumOf({ A: 1, B: 1 }), /A and B are both 1/],
    ['the size is odd', () => table('t', 6, { ref: '' }, {}), /not a whole number of 32-bit words/],
    ['an offset is not aligned', () => reg32('r', 2, { ref: '' }, { a: bits(31, 0) }), /offset 2/],
    ['a reset is too large', () => reg32('r', 0, { ref: '', reset: 2 ** 32 }, { a: bits(31, 0) }), /reset value/],
  ];
  it.each(cases)('is refused when %s', (_, declare, message) => {
    expect(declare).toThrow(BitfieldError);
    expect(declare).toThrow(message);
  });
});

describe('a declared register', () => {
  const Status = reg32(
    'STATUS',
    0x34,
    { ref: 'test 4', reset: 0x8000_0010 },
    {
      pending: w1c(0, 'an event waits'),
      kick: w1s(1),
      busy: ro(2),
      size: bits(7, 3),
      res0: reserved(15, 8),
      kept: preserved(23, 16),
      level: ro(bits(31, 24)),
    },
  );

  it('applies the access rule of each field to a write', () => {
    expect(Status.writeWord(0, 0xaa12_0007, 0xffff_ffff)).toBe(0xaa12_00fe);
    expect(Status.writeWord(0, 0xaa12_00ff, 0)).toBe(0xaa12_0007);
    expect([...Status.write(Uint32Array.of(1), Uint32Array.of(1))]).toEqual([0]);
  });

  it('knows its offset and a fresh reset value', () => {
    expect([Status.offset, Status.bytes, Status.kind]).toEqual([0x34, 4, 'reg32']);
    const first = Status.reset();
    first[0] = 0;
    expect([...Status.reset()]).toEqual([0x8000_0010]);
    const Base = reg64(
      'BASE',
      0x80,
      { ref: 'test 5', gaps: 'reserved-zero', reset: { lo: 1, hi: 2 } },
      { a: address(55, 6) },
    );
    expect([...Base.reset()]).toEqual([1, 2]);
  });

  it('packs and unpacks its value as a number', () => {
    const value = Status.pack({ level: 0x80, size: 3 });
    expect(value).toBe(0x8000_0018);
    expect(Status.unpack(value)).toEqual({ pending: 0, kick: 0, busy: 0, size: 3, level: 0x80 });
    expect(Status.f.level.of(value)).toBe(0x80);
  });
});
