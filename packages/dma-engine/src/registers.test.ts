import { describe, expect, it } from 'vitest';
import { EngineBench } from '../test/engine-bench.js';
import { REGISTERS } from './registers.js';

/** The README's table: offset, name, value after reset, bits that keep what is written. */
const MAP: readonly (readonly [offset: number, name: string, reset: number, writable: number])[] = [
  [0x00, 'ID', 0x444d4131, 0],
  [0x04, 'DOORBELL', 0, 0],
  [0x08, 'STATUS', 0, 0],
  [0x0c, 'OPERATION', 0, 0xf07],
  [0x10, 'SOURCE', 0, 0xffffffff],
  [0x14, 'SOURCE', 0, 0xffffffff],
  [0x18, 'DESTINATION', 0, 0xffffffff],
  [0x1c, 'DESTINATION', 0, 0xffffffff],
  [0x20, 'LENGTH', 0, 0xffffffff],
  [0x24, 'PASID', 0, 0xfffff],
  [0x28, 'PATTERN', 0, 0xffffffff],
  [0x2c, 'PREFETCH', 0, 0xff],
  [0x30, 'RESULT', 0, 0],
  [0x34, 'STOP', 0, 0x400fffff],
  [0x38, 'STOPPED', 0, 0],
  [0x3c, 'INTERRUPT', 0, 0],
];

/** What starts something when it is written. */
const ACTS: Readonly<Record<number, number>> = { 4: 1, 52: 0x80000000 };

describe('the registers', () => {
  it('are all in the table, and nothing else is', () => {
    const declared = REGISTERS.flatMap((register) =>
      Array.from({ length: register.words }, (_unused, i) => [register.offset + i * 4, register.name]),
    );
    expect(declared).toEqual(MAP.map(([offset, name]) => [offset, name]));
  });

  it.each(MAP)('0x%s %s: resets and takes writes as the table says', (offset, _name, reset, writable) => {
    const bench = new EngineBench().boot();
    bench.do(function* () {
      const { registers } = bench;
      expect(yield* registers.read32(offset)).toBe(reset);
      const quiet = (0xffffffff & ~(ACTS[offset] ?? 0)) >>> 0;
      yield* registers.write32(offset, quiet);
      expect(yield* registers.read32(offset)).toBe(writable === 0 ? reset : writable);
      yield* registers.write32(offset, 0);
      expect(yield* registers.read32(offset)).toBe(writable === 0 ? reset : 0);
    });
  });

  it('take both halves of an address at once, or one after the other', () => {
    const bench = new EngineBench().boot();
    bench.do(function* () {
      const { registers } = bench;
      const out = new Uint32Array(2);
      yield* registers.write64(0x18, 0x89abcdef, 0x01234567);
      yield* registers.read64(0x18, out);
      expect([...out]).toEqual([0x89abcdef, 0x01234567]);
      yield* registers.write32(0x1c, 0xfedcba98);
      expect(yield* registers.read32(0x18)).toBe(0x89abcdef);
      expect(yield* registers.read32(0x1c)).toBe(0xfedcba98);
    });
  });

  it('clear the interrupt when a one is written to it', () => {
    const bench = new EngineBench().boot();
    bench.do(function* () {
      const { registers } = bench;
      yield* bench.job({ op: 0, bytes: 8 });
      expect(yield* registers.read32(0x3c)).toBe(1);
      yield* registers.write32(0x3c, 0);
      expect(yield* registers.read32(0x3c)).toBe(1);
      yield* registers.write32(0x3c, 1);
      expect(yield* registers.read32(0x3c)).toBe(0);
    });
  });

  it('drop narrow writes, and show the bytes of a word to narrow reads', () => {
    const bench = new EngineBench().boot();
    const { bus } = bench;
    bus.write8(0x1000_0028, 0x55);
    bus.write16(0x1000_0028, 0x5555);
    expect(bus.load32(0x1000_0028)).toBe(0);
    bus.store32(0x1000_0028, 0x44332211);
    expect([0, 1, 2, 3].map((i) => bus.read8(0x1000_0028 + i))).toEqual([0x11, 0x22, 0x33, 0x44]);
    expect(bus.read16(0x1000_002a)).toBe(0x4433);
  });

  it('end at 0x40: what lies behind reads 0 and takes nothing', () => {
    const bench = new EngineBench().boot();
    const { bus } = bench;
    for (const offset of [0x40, 0x44, 0x800, 0xfffc, 0x10004, 0x1000c, 0x10024, 0x11000, 0x1fffc]) {
      bus.store32(0x1000_0000 + offset, 0xffffffff);
      expect(bus.load32(0x1000_0000 + offset), offset.toString(16)).toBe(0);
    }
    const out = new Uint32Array(2);
    bus.load64(0x1000_0038, out);
    expect([...out]).toEqual([0, 0]);
  });

  it('show identity and status once more in the page that processes map', () => {
    const bench = new EngineBench().boot();
    bench.do(function* () {
      expect(yield* bench.registers.read32(0x10000)).toBe(0x444d4131);
      yield* bench.job({ op: 0, bytes: 8 });
      expect(yield* bench.registers.read32(0x10008)).toBe(5);
    });
  });
});
