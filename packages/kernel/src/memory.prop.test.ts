import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { go } from '../test/harness.js';
import { Kernel, PhysicalBus, PhysicalMemory } from './index.js';

const MIB = 2 ** 20;
const HIGH = 6 * 2 ** 30;
const REGIONS = [
  { base: 0x40000000, bytes: 2 * MIB },
  { base: 0x40200000, bytes: 2 * MIB },
  { base: HIGH, bytes: 4 * MIB },
];
/** Where accesses go: around the edges of regions, chunks and frames, within RAM and outside. */
const PLACES = [
  0x3ffffff0,
  0x40000000,
  0x40000ff0,
  0x401ffff0,
  0x403fffe0,
  HIGH - 16,
  HIGH,
  HIGH + 0xff8,
  HIGH + 2 * MIB - 16,
  HIGH + 4 * MIB - 24,
];

/** A flat memory of bytes: obviously right. */
class Flat {
  readonly bytes = new Map<number, number>();

  inRam(pa: number): boolean {
    return (pa >= 0x40000000 && pa < 0x40400000) || (pa >= HIGH && pa < HIGH + 4 * MIB);
  }

  get(pa: number, n: number): number[] {
    return Array.from({ length: n }, (_, i) => (this.inRam(pa + i) ? (this.bytes.get(pa + i) ?? 0) : 0xff));
  }

  put(pa: number, data: readonly number[]): void {
    data.forEach((byte, i) => {
      if (this.inRam(pa + i)) this.bytes.set(pa + i, byte);
    });
  }
}

const word = fc.nat(0xffffffff);
const place = fc.tuple(fc.constantFrom(...PLACES), fc.nat(24)).map(([base, offset]) => base + offset);
const access = fc.oneof(
  fc.tuple(fc.constantFrom('store32', 'store64', 'swap64', 'write8', 'write16'), place, word, word),
  fc.tuple(fc.constant('write'), place, fc.array(fc.nat(255), { maxLength: 40 }), word),
);

function bytesOf(value: number, n: number): number[] {
  return Array.from({ length: n }, (_, i) => (value >>> (8 * i)) & 0xff);
}

/** Does the same to both. */
function apply(
  bus: PhysicalBus,
  flat: Flat,
  [kind, at, a, b]: readonly [string, number, number | number[], number],
): void {
  if (kind === 'write') {
    bus.write(at, Uint8Array.from(a as number[]));
    flat.put(at, a as number[]);
    return;
  }
  const value = a as number;
  const width = { store32: 4, store64: 8, swap64: 8, write8: 1, write16: 2 }[kind]!;
  const pa = at - (at % width);
  const bytes = width === 8 ? [...bytesOf(value, 4), ...bytesOf(b, 4)] : bytesOf(value, width);
  if (kind === 'store32') bus.store32(pa, value);
  else if (kind === 'store64') bus.store64(pa, value, b);
  else if (kind === 'write8') bus.write8(pa, value & 0xff);
  else if (kind === 'write16') bus.write16(pa, value & 0xffff);
  else if (!swap(bus, flat, pa, value, b)) return;
  flat.put(pa, bytes);
}

/** Compares with what is there if `lo` is even, with something else if it is odd. */
function swap(bus: PhysicalBus, flat: Flat, pa: number, lo: number, hi: number): boolean {
  const old = new Uint32Array(Uint8Array.from(flat.get(pa, 8)).buffer);
  if (lo % 2 === 1) old[1] = ~old[1]!;
  const done = bus.swap64(pa, old, lo, hi);
  expect(done).toBe(lo % 2 === 0 && flat.inRam(pa));
  return done;
}

function expectSame(bus: PhysicalBus, flat: Flat): void {
  const out = new Uint32Array(2);
  for (const base of PLACES) {
    const start = base - (base % 8);
    const into = new Uint8Array(64);
    bus.read(start, into);
    expect([...into]).toEqual(flat.get(start, 64));
    for (let pa = start; pa < start + 64; pa += 8) {
      bus.load64(pa, out);
      expect([...bytesOf(out[0]!, 4), ...bytesOf(out[1]!, 4)]).toEqual(flat.get(pa, 8));
      expect(bytesOf(bus.load32(pa + 4), 4)).toEqual(flat.get(pa + 4, 4));
      expect(bytesOf(bus.read16(pa + 2), 2)).toEqual(flat.get(pa + 2, 2));
      expect([bus.read8(pa + 5)]).toEqual(flat.get(pa + 5, 1));
    }
  }
}

describe('PhysicalMemory', () => {
  it('agrees with a flat memory of bytes, in two regions of which one lies above 4 GiB, and after a restore', () => {
    fc.assert(
      fc.property(fc.array(access, { maxLength: 20 }), fc.array(access, { maxLength: 20 }), (before, after) => {
        const kernel = new Kernel();
        const bus = new PhysicalBus(kernel, REGIONS);
        const flat = new Flat();
        for (const one of before) apply(bus, flat, one as never);
        expectSame(bus, flat);
        const { restore } = kernel.checkpoints.take();
        const saved = new Map(flat.bytes);
        for (const one of after) apply(bus, flat, one as never);
        expectSame(bus, flat);
        restore();
        flat.bytes.clear();
        for (const [pa, byte] of saved) flat.bytes.set(pa, byte);
        expectSame(bus, flat);
      }),
      { seed: 5, numRuns: 60 },
    );
  });

  it('wakes who waits for a word, whichever way it is written', () => {
    const writes: ((memory: PhysicalMemory) => void)[] = [
      (memory) => memory.store64(0x40000010, 1, 0),
      (memory) => memory.store32(0x40000014, 1),
      (memory) => memory.write(0x40000017, Uint8Array.of(1)),
      (memory) => memory.write(0x4000000f, Uint8Array.of(1, 1)),
      (memory) => memory.write(0x40000006, new Uint8Array(20).fill(1)),
    ];
    for (const write of writes) {
      const kernel = new Kernel();
      const memory = new PhysicalMemory(kernel, REGIONS);
      let written = false;
      kernel.spawn('poller', function* () {
        yield* kernel.until(0x40000010 / 8, () => written, 'the word');
      });
      kernel.spawn('writer', function* () {
        yield* kernel.point(0x40000010 / 8, true);
        written = true;
        write(memory);
      });
      expect(go(kernel).end).toBe('finished');
    }
  });

  it('never hands out overlapping blocks, keeps them aligned and in RAM, and gets all back', () => {
    const step = fc.tuple(fc.boolean(), fc.nat(5), fc.nat());
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const memory = new PhysicalMemory(new Kernel(), REGIONS);
        const blocks: [pfn: number, order: number][] = [];
        const used = new Set<number>();
        for (const [alloc, order, which] of steps) {
          if (alloc || blocks.length === 0) {
            const pfn = memory.frames.alloc('x', order);
            expect(pfn % 2 ** order).toBe(0);
            for (let i = 0; i < 2 ** order; i++) {
              expect(used.has(pfn + i)).toBe(false);
              expect(memory.contains((pfn + i) * 4096)).toBe(true);
              used.add(pfn + i);
            }
            blocks.push([pfn, order]);
          } else {
            const [[pfn, size]] = blocks.splice(which % blocks.length, 1) as [[number, number]];
            memory.frames.free(pfn, size);
            for (let i = 0; i < 2 ** size; i++) used.delete(pfn + i);
          }
          expect(memory.frames.inUse()).toBe(used.size);
        }
        for (const [pfn, order] of blocks) memory.frames.free(pfn, order);
        expect(memory.frames.inUse()).toBe(0);
        expect(memory.frames.holders()).toEqual([]);
      }),
      { seed: 6, numRuns: 200 },
    );
  });
});
