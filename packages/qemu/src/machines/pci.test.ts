import { describe, expect, it } from 'vitest';
import { PlainTransport } from '../../test/plain-transport.js';
import { QemuBus } from '../bus.js';
import { MemoryFile } from '../process/memory-file.js';
import { QtestClient } from '../qtest/client.js';
import { QEMU_MACHINES } from './machines.js';
import { enumerate } from './pci.js';

const SPEC = QEMU_MACHINES.smmuv3;
const SLOT = 0x8000;

/** Configuration space in which slots have the BARs that are given: their kind in the low bits, their size. */
class Slots extends PlainTransport {
  readonly bars: Readonly<Record<number, Readonly<Record<number, readonly [low: number, size: number]>>>>;

  constructor(bars: Slots['bars']) {
    super();
    this.bars = bars;
    for (let slot = 0; slot < 32; slot++) this.words.set(SPEC.ecam + slot * SLOT, 0xffffffff);
    for (const slot of Object.keys(bars)) this.words.set(SPEC.ecam + Number(slot) * SLOT, 0x12345678);
  }

  override store(address: number, value: number): void {
    const slot = Math.floor((address - SPEC.ecam) / SLOT);
    const bar = this.bars[slot]?.[(address - SPEC.ecam - slot * SLOT - 0x10) / 4];
    super.store(address, bar === undefined ? value : ((value & -bar[1]) | bar[0]) >>> 0);
  }
}

const look = (slots: Slots) => enumerate(new QemuBus(new QtestClient(slots), new MemoryFile(-1, [])), SPEC);

describe('enumeration', () => {
  it('gives each memory BAR a place that is aligned to its size, 64-bit ones too, and I/O none', () => {
    const slots = new Slots({ 1: { 0: [0, 0x1000], 1: [1, 0x20], 2: [4, 0x100000] }, 9: { 0: [8, 0x2000] } });
    const found = look(slots);
    expect(found.map(({ at, rid }) => [at, rid])).toEqual([
      ['00:01.0', 0x08],
      ['00:09.0', 0x48],
    ]);
    const memory = found.map(({ bars }) => bars.filter((bar) => bar !== null).map(({ base, bytes }) => [base, bytes]));
    expect(memory).toEqual([
      [
        [0x1000_0000, 0x1000],
        [0x1010_0000, 0x100000],
      ],
      [[0x1020_0000, 0x2000]],
    ]);
    expect(found[0]!.bars.slice(0, 4).map((bar) => bar?.base ?? null)).toEqual([0x1000_0000, null, 0x1010_0000, null]);
  });

  it('lets functions decode memory and make requests', () => {
    const slots = new Slots({ 3: {} });
    look(slots);
    expect(slots.words.get(SPEC.ecam + 3 * SLOT + 4)).toBe(6);
  });

  it('leaves bridges alone', () => {
    const slots = new Slots({ 2: { 0: [0, 0x1000] } });
    slots.words.set(SPEC.ecam + 2 * SLOT + 0x0c, 0x10000);
    expect(look(slots)[0]!.bars).toEqual([]);
    expect(slots.words.get(SPEC.ecam + 2 * SLOT + 4)).toBeUndefined();
  });

  it('says so when the window is full', () => {
    const bars = { 0: [0, 0x2000_0000], 1: [0, 0x2000_0000] } as const;
    expect(() => look(new Slots({ 1: bars }))).toThrow("the machine's PCI window is full");
  });
});
