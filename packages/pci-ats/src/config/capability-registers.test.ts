import { describe, expect, it } from 'vitest';
import { CONFIG, FakeDevice, finish } from '../../test/bench-top.js';

/** One 16-bit register of the fact sheet's section 1: its value after reset, and what each kind of bit is. */
interface Row {
  readonly name: string;
  readonly offset: number;
  readonly reset: number;
  /** Bits that keep what is written. */
  readonly rw: number;
  /** Bits that a 1 clears; hardware sets them. */
  readonly rw1c: number;
  /** Bits that act when written, and read 0. */
  readonly wo: number;
}

const row = (name: string, offset: number, reset: number, rw = 0, rw1c = 0, wo = 0): Row => ({
  name,
  offset,
  reset,
  rw,
  rw1c,
  wo,
});

const TABLE: readonly Row[] = [
  row('ATS header, low', 0x100, 0x000f),
  row('ATS header, high', 0x102, 0x1101),
  row('ATS Capability', 0x104, 0x0060),
  row('ATS Control', 0x106, 0x0000, 0x801f),
  row('PRI header, low', 0x110, 0x0013),
  row('PRI header, high', 0x112, 0x1201),
  row('PRI Control', 0x114, 0x0000, 0x0001, 0, 0x0002),
  row('PRI Status', 0x116, 0x8100, 0, 0x0003),
  row('Capacity, low', 0x118, 0x0010),
  row('Capacity, high', 0x11a, 0x0000),
  row('PASID header, low', 0x120, 0x001b),
  row('PASID header, high', 0x122, 0x0001),
  row('PASID Capability', 0x124, 0x1406),
  row('PASID Control', 0x126, 0x0000, 0x0007),
];

/** The device whose capabilities the table describes: depth 32, page aligned, global; 16 requests; 20 bits, Exe, Priv. */
const device = (): FakeDevice => new FakeDevice();

describe('the registers of section 1', () => {
  it.each(TABLE)('$name has its value after reset', ({ offset, reset }) => {
    expect(device().bus.read16(CONFIG + offset)).toBe(reset);
  });

  it.each(TABLE)('$name takes each bit as its access rule says', ({ offset, reset, rw }) => {
    for (let bit = 0; bit < 16; bit++) {
      const { bus } = device();
      bus.write16(CONFIG + offset, (reset & ~rw) | (1 << bit));
      // Hardware clears Stopped while Enable is 1, which is another register.
      const wanted = (reset & ~rw) | (rw & (1 << bit));
      expect([bit, bus.read16(CONFIG + offset)]).toEqual([bit, wanted]);
    }
  });

  it.each(TABLE)('$name gives back every bit that can be written', ({ offset, rw, reset }) => {
    const { bus } = device();
    bus.write16(CONFIG + offset, 0xffff);
    // The first write switches off what keeps other bits as they are.
    for (let i = 0; i < 2; i++) bus.write16(CONFIG + offset, 0);
    expect(bus.read16(CONFIG + offset)).toBe(reset & ~rw);
  });

  it.each(TABLE.filter(({ wo }) => wo !== 0))('$name reads 0 where a bit only acts', ({ offset, wo }) => {
    const { bus } = device();
    bus.write16(CONFIG + offset, wo);
    expect(bus.read16(CONFIG + offset) & wo).toBe(0);
  });

  it.each([0x0001, 0x0002])('PRI Status clears bit 0x%s alone when a 1 is written to it', (bit) => {
    const { bus, fn } = device();
    fn.setResponseFailure();
    fn.setUnexpectedIndex();
    expect(bus.read16(CONFIG + 0x116)).toBe(0x8103);
    bus.write16(CONFIG + 0x116, 0);
    expect(bus.read16(CONFIG + 0x116)).toBe(0x8103);
    bus.write16(CONFIG + 0x116, bit);
    expect(bus.read16(CONFIG + 0x116)).toBe(0x8103 & ~bit);
  });

  it.each([
    [0, 0],
    [1, 1],
    [16, 16],
    [17, 16],
    [0xffffffff, 16],
  ])('Allocation takes 0x%s, at most the capacity', (written, kept) => {
    const { bus } = device();
    bus.store32(CONFIG + 0x11c, written);
    expect(bus.load32(CONFIG + 0x11c)).toBe(kept);
  });

  it('leave out what is newer than the sheet follows: bits 7 and 8 of ATS, bit 3 of PASID (P-3)', () => {
    const { bus } = device();
    expect(bus.read16(CONFIG + 0x104) & 0x180).toBe(0);
    bus.write16(CONFIG + 0x126, 0x0008);
    expect(bus.read16(CONFIG + 0x126)).toBe(0);
    expect(bus.read16(CONFIG + 0x124) & 0x9).toBe(0);
  });
});

describe('what is ignored', () => {
  /** [what, what is switched on, the write that is ignored, what the register still reads] */
  const IGNORED: readonly (readonly [
    what: string,
    on: readonly (readonly [offset: number, value: number])[],
    offset: number,
    value: number,
    reads: number,
  ])[] = [
    ['STU while ATS is on (PCI-2)', [[0x106, 0x8003]], 0x106, 0x8005, 0x8003],
    ['STU in the write that switches ATS off (PCI-2)', [[0x106, 0x8003]], 0x106, 0x0005, 0x0003],
    [
      'PASID Control while ATS is on (PCI-1)',
      [
        [0x126, 0x0001],
        [0x106, 0x8000],
      ],
      0x126,
      0x0006,
      0x0001,
    ],
    [
      'Allocation while PRI is on (PCI-3)',
      [
        [0x11c, 7],
        [0x114, 1],
      ],
      0x11c,
      9,
      7,
    ],
  ];

  it.each(IGNORED)('is %s', (_what, on, offset, value, reads) => {
    const { bus } = device();
    for (const [at, word] of on) bus.write16(CONFIG + at, word);
    bus.write16(CONFIG + offset, value);
    expect(bus.read16(CONFIG + offset)).toBe(reads);
  });

  it('is Reset while Enable is 1, and in the write that sets Enable: the counter stays (PCI-3)', () => {
    const one = device();
    finish(one, function* () {
      yield* one.enable();
      yield* one.pri.request(1, [5], 1);
      for (const control of [0x0002 | 0x0001, 0x0001]) {
        one.bus.write16(CONFIG + 0x114, control);
        expect(one.pri.state.outstanding).toBe(1);
      }
      one.bus.write16(CONFIG + 0x114, 0);
      expect(one.bus.read16(CONFIG + 0x116)).toBe(0x8000);
      one.bus.write16(CONFIG + 0x114, 2);
      expect(one.pri.state.outstanding).toBe(0);
      expect(one.bus.read16(CONFIG + 0x116)).toBe(0x8100);
    });
  });

  it('is nothing else: STU, PASID Control and Allocation change again once the switch is off', () => {
    const { bus } = device();
    for (const [at, word] of [
      [0x106, 0x8003],
      [0x106, 0x0003],
      [0x106, 0x0005],
      [0x126, 0x0007],
      [0x114, 1],
      [0x114, 0],
      [0x11c, 9],
    ] as const)
      bus.write16(CONFIG + at, word);
    expect([0x106, 0x126, 0x11c].map((at) => bus.read16(CONFIG + at))).toEqual([5, 7, 9]);
  });
});

describe('Stopped (P-5)', () => {
  it('is 1 after reset, 0 while Enable is 1, and 1 again when nothing is outstanding (ATC-14)', () => {
    const one = device();
    finish(one, function* () {
      const status = (): number => one.bus.read16(CONFIG + 0x116) & 0x100;
      expect(status()).toBe(0x100);
      yield* one.enable();
      expect(status()).toBe(0);
      yield* one.pri.request(1, [5], 1);
      one.bus.write16(CONFIG + 0x114, 0);
      expect(status()).toBe(0);
      one.pri.respond({ kind: 'prg-response', pasid: 1, prgi: 0, code: 0 });
      expect(status()).toBe(0x100);
    });
  });
});
