import { describe, expect, it } from 'vitest';
import { ending, go, Script } from '../test/harness.js';
import {
  type AccessWidth,
  BusMmio,
  CoherentMemory,
  isIommuError,
  Kernel,
  type MmioTarget,
  PhysicalBus,
  RandomChooser,
} from './index.js';

/** Sixteen words of registers that note every access. */
class Registers implements MmioTarget {
  readonly widths: readonly AccessWidth[];
  readonly words = new Uint32Array(16);
  readonly log: string[] = [];

  constructor(widths: readonly AccessWidth[] = [4, 8]) {
    this.widths = widths;
  }

  read(offset: number, bytes: AccessWidth, out: Uint32Array): void {
    this.log.push(`read${bytes} ${offset}`);
    out[0] = this.words[offset >>> 2]! >>> ((offset & 3) * 8);
    if (bytes === 8) out[1] = this.words[(offset >>> 2) + 1]!;
  }

  write(offset: number, bytes: AccessWidth, lo: number, hi: number): void {
    this.log.push(`write${bytes} ${offset} ${lo.toString(16)} ${hi.toString(16)}`);
    this.words[offset >>> 2] = lo;
    if (bytes === 8) this.words[(offset >>> 2) + 1] = hi;
  }
}

const BASE = 0x9050000;

function machine(registers = new Registers()) {
  const kernel = new Kernel();
  const bus = new PhysicalBus(kernel, [{ base: 0x40000000, bytes: 2 ** 21 }]);
  const window = bus.claim(BASE, 64, registers);
  return { kernel, bus, registers, window };
}

describe('PhysicalBus', () => {
  it('routes accesses to the window that claims them, with offsets from its base', () => {
    const { bus, registers } = machine();
    bus.store64(BASE + 8, 0x11111111, 0xffffffff);
    bus.store32(BASE, -1);
    const out = new Uint32Array(2);
    bus.load64(BASE + 8, out);
    expect([...out, bus.load32(BASE)]).toEqual([0x11111111, 0xffffffff, 0xffffffff]);
    expect(registers.log).toEqual(['write8 8 11111111 ffffffff', 'write4 0 ffffffff 0', 'read8 8', 'read4 0']);
  });

  it('reads all ones where nothing answers, and drops writes there', () => {
    const { bus } = machine();
    const out = new Uint32Array(2);
    bus.store64(BASE + 64, 1, 2);
    bus.load64(BASE + 64, out);
    expect([...out, bus.load32(0), bus.read16(2), bus.read8(5)]).toEqual([
      0xffffffff, 0xffffffff, 0xffffffff, 0xffff, 0xff,
    ]);
    expect(bus.swap64(BASE + 64, out, 1, 2)).toBe(false);
  });

  it('refuses widths that a window does not take (EINVAL)', () => {
    const { bus } = machine();
    expect(() => bus.read16(BASE)).toThrow(
      'the window at 0x9050000 takes no 2-byte accesses (EINVAL): use accesses of 8 or 4 bytes',
    );
    expect(() => bus.write8(BASE, 1)).toThrow('takes no 1-byte accesses');
    const narrow = machine(new Registers([4]));
    expect(() => narrow.bus.store64(BASE, 0, 0)).toThrow('use accesses of 4 bytes');
  });

  it('refuses accesses that are not aligned to their width (EINVAL)', () => {
    const { bus } = machine();
    for (const access of [
      () => bus.load32(BASE + 2),
      () => bus.store64(BASE + 4, 0, 0),
      () => bus.load32(0x40000002),
      () => bus.store64(0x40000004, 0, 0),
      () => bus.read16(0x40000001),
      () => bus.write16(0x40000001, 0),
    ]) {
      expect(access).toThrow('is not aligned (EINVAL)');
    }
  });

  it('refuses windows that overlap another one or RAM (EBUSY)', () => {
    const { bus } = machine();
    const claim = (base: number, bytes: number) => () => bus.claim(base, bytes, new Registers());
    expect(claim(BASE + 63, 1)).toThrow('overlaps the window at 0x9050000 (EBUSY)');
    expect(claim(0x401fffff, 2)).toThrow('overlaps RAM');
    expect(claim(BASE + 64, 64)).not.toThrow();
  });

  it('delivers bytes that a device writes into a window as register writes: an MSI (L58)', () => {
    const { bus, registers } = machine();
    bus.write(BASE + 4, Uint8Array.of(0x40, 0, 0, 0));
    bus.write(BASE + 8, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    expect(registers.log).toEqual(['write4 4 40 0', 'write8 8 4030201 8070605', 'write4 16 c0b0a09 0']);
    const into = new Uint8Array(12);
    bus.read(BASE + 8, into);
    expect([...into]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  });

  it('forgets at a restore a window that was claimed after the checkpoint', () => {
    const { kernel, bus } = machine();
    const { restore } = kernel.checkpoints.take();
    for (let i = 0; i < 2; i++) {
      bus.claim(0, 64, new Registers());
      restore();
    }
    expect(bus.claims).toHaveLength(1);
  });
});

describe('BusMmio', () => {
  it('makes each access a preemption point, before the access', () => {
    const { kernel, bus, registers } = machine();
    const mmio = new BusMmio(kernel, bus, BASE, 64, 'smmu');
    kernel.spawn('a', function* () {
      yield* mmio.write32(0, 1);
      registers.log.push(`a read ${yield* mmio.read32(0)}`);
    });
    kernel.spawn('b', function* () {
      yield* mmio.write32(0, 2);
    });
    const outcome = go(kernel, new Script('a', 'a', 'b', 'b'));
    expect(outcome).toMatchObject({ end: 'finished', steps: 3 });
    expect(registers.log).toEqual(['write4 0 1 0', 'write4 0 2 0', 'read4 0', 'a read 2']);
  });

  it('waits for a register that hardware changes by itself, and parks meanwhile', () => {
    const { kernel, bus, registers, window } = machine();
    const mmio = new BusMmio(kernel, bus, BASE, 64, 'smmu');
    let value = 0;
    kernel.spawn('driver', function* () {
      value = yield* mmio.until32(0x24, (word) => word === 3, 1e6);
    });
    kernel.spawn('hardware', function* () {
      for (const word of [1, 3]) {
        yield* kernel.clock.sleep(10);
        registers.words[9] = word;
        window.changed(0x24);
      }
    });
    expect(go(kernel).end).toBe('finished');
    expect([value, kernel.clock.now()]).toEqual([3, 20]);
    expect(registers.log).toEqual(['read4 36', 'read4 36', 'read4 36']);
  });

  it('gives up with ETIMEDOUT, and says what the register stayed at (L51)', () => {
    const { kernel, bus } = machine();
    const mmio = new BusMmio(kernel, bus, BASE, 64, 'smmu');
    let error: unknown;
    kernel.spawn('driver', function* () {
      try {
        yield* mmio.until32(0x24, (word) => word === 3, 1000);
      } catch (thrown) {
        error = thrown;
      }
    });
    expect(go(kernel).end).toBe('finished');
    expect(isIommuError(error, 'ETIMEDOUT')).toBe(true);
    expect((error as Error).message).toBe('smmu register 0x24 stayed 0x0 for 1000 ns (ETIMEDOUT)');
  });

  it('refuses an access beyond its window (EINVAL)', () => {
    const { kernel, bus } = machine();
    const mmio = new BusMmio(kernel, bus, BASE, 64, 'smmu');
    expect(() => mmio.read32(64)).toThrow('smmu has no register 0x40');
    expect(() => mmio.write64(60, 0, 0)).toThrow('EINVAL');
    expect(() => mmio.read16(-2)).toThrow('EINVAL');
  });
});

describe('CoherentMemory', () => {
  it('makes each 64-bit access a preemption point: a reader can come between two stores (L48)', () => {
    const { kernel, bus } = machine();
    const memory = new CoherentMemory(kernel, bus);
    const seen: number[] = [];
    kernel.spawn('driver', function* () {
      yield* memory.store64(0x40000000, 1, 0);
      yield* memory.store64(0x40000008, 1, 0);
    });
    kernel.spawn('hardware', function* () {
      const out = new Uint32Array(2);
      for (const pa of [0x40000000, 0x40000008]) {
        yield* memory.load64(pa, out);
        seen.push(out[0]!);
      }
    });
    go(kernel, new Script('driver', 'driver', 'hardware', 'hardware', 'hardware'));
    expect(seen).toEqual([1, 0]);
  });

  it('loads and stores several words in the same steps as one by one, wherever it is preempted', () => {
    const run = (seed: number, together: boolean) => {
      const { kernel, bus } = machine();
      const memory = new CoherentMemory(kernel, bus);
      const from = Uint32Array.of(9, 1, 2, 3, 4, 5, 6);
      const out = new Uint32Array(6);
      const half = new Uint32Array(2);
      kernel.spawn('driver', function* () {
        if (together) return yield* memory.storeWords(0x40000008, from, 1, 3);
        for (let i = 0; i < 3; i++) yield* memory.store64(0x40000008 + 8 * i, from[1 + 2 * i]!, from[2 + 2 * i]!);
      });
      kernel.spawn('hardware', function* () {
        if (together) return yield* memory.loadWords(0x40000008, out);
        for (let i = 0; i < 3; i++) {
          yield* memory.load64(0x40000008 + 8 * i, half);
          out.set(half, 2 * i);
        }
      });
      const { token, steps } = go(kernel, new RandomChooser(seed));
      return [token, steps, ...out].join(' ');
    };
    const seen = new Set<string>();
    for (let seed = 0; seed < 100; seed++) {
      expect(run(seed, true)).toBe(run(seed, false));
      seen.add(run(seed, true));
    }
    expect(seen.size).toBeGreaterThan(4);
  });

  it('gives whole frames, aligned to their size, and takes them back', () => {
    const { kernel, bus } = machine();
    const memory = new CoherentMemory(kernel, bus);
    const places: number[] = [];
    kernel.spawn('driver', function* () {
      for (const bytes of [1, 4096, 4097, 65536]) places.push(yield* memory.alloc(bytes, 'queue'));
      expect(bus.frames.inUse()).toBe(1 + 1 + 2 + 16);
      for (const [i, bytes] of [1, 4096, 4097, 65536].entries()) yield* memory.free(places[i]!, bytes);
    });
    expect(go(kernel).end).toBe('finished');
    expect(places).toEqual([0x40000000, 0x40001000, 0x40002000, 0x40010000]);
    expect(bus.frames.inUse()).toBe(0);
  });

  it('reports an allocation in atomic context, where it could sleep (L49, INV-10)', () => {
    const { kernel, bus } = machine();
    const memory = new CoherentMemory(kernel, bus);
    kernel.spawn('driver', function* () {
      kernel.rcu.readLock();
      yield* memory.alloc(4096, 'table');
      kernel.rcu.readUnlock();
    });
    expect(ending(go(kernel))).toBe('INV-10: driver sleeps (to allocate 4096 bytes for table) in atomic context');
  });
});
