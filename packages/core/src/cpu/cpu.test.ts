import { DEFAULT_LIMITS, FairChooser, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { census, RAM, smallKernel } from '../../test/small-kernel.js';
import { Cpu, PERM } from '../index.js';

const RW = PERM.READ | PERM.WRITE;
const bytes = (length: number, at: (i: number) => number): Uint8Array => Uint8Array.from({ length }, (_, i) => at(i));

describe('Cpu', () => {
  it('loads what it stored, across pages and at any alignment', () => {
    const small = smallKernel();
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mms.mmap(mm, 3 * 4096, RW);
      const data = bytes(5000, (i) => i * 7);
      yield* core.cpu.store(mm, address + 4001n, data);
      const into = new Uint8Array(5002);
      yield* core.cpu.load(mm, address + 4000n, into);
      expect([...into]).toEqual([0, ...data, 0]);
      yield* core.cpu.fill(mm, address, 3 * 4096, (i) => i);
      yield* core.cpu.load(mm, address + 4000n, into);
      expect([...into]).toEqual([...bytes(5002, (i) => i + 4000)]);
      yield* core.mms.put(mm);
    });
    expect(census(core)).toEqual(small.baseline);
  });

  it('faults a page in as zeros, one table of each level above it', () => {
    const small = smallKernel();
    const { core, bus } = small;
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mms.mmap(mm, 8192, RW);
      const into = bytes(4, () => 0xee);
      yield* core.cpu.load(mm, address, into);
      expect([...into]).toEqual([0, 0, 0, 0]);
      expect(bus.frames.inUse()).toBe(5);
      // 0xffffb9d15000, walked by hand: indexes 511, 510, 462, 277 (smmuv3.md 3.1).
      const word = new Uint32Array(2);
      let table = mm.pgd;
      for (const index of [511, 510, 462]) {
        bus.load64(table + index * 8, word);
        expect(word[0]! & 0xfff).toBe(3);
        table = word[0]! - 3;
      }
      bus.load64(table + 277 * 8, word);
      // Read-only, though the mapping may be written: the shared page of zeros (PF-5a).
      expect(word[0]! & 0xfff).toBe(0xfc7);
      expect(word[1]).toBe(0x0060_0000);
      expect(bus.frames.ownerOf(Math.floor(word[0]! / 4096))).toBe('zero page');
      yield* core.mms.put(mm);
    });
  });

  it('is killed by a store to a read-only mapping and by any access outside (EFAULT)', () => {
    const small = smallKernel();
    const { core } = small;
    const codes: string[] = [];
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mms.mmap(mm, 4096, PERM.READ);
      const byte = new Uint8Array(1);
      yield* core.cpu.load(mm, address, byte);
      for (const attempt of [
        () => core.cpu.store(mm, address, byte),
        () => core.cpu.load(mm, address + 4096n, byte),
        () => core.cpu.load(mm, 0n, byte),
      ]) {
        try {
          yield* attempt();
        } catch (error) {
          codes.push((error as { code: string }).code);
        }
      }
      yield* core.mms.put(mm);
    });
    expect(codes).toEqual(['EFAULT', 'EFAULT', 'EFAULT']);
    expect(census(core)).toEqual(small.baseline);
  });

  it('is refused a page when memory runs out, whichever allocation fails, and leaks nothing', () => {
    const failures: string[] = [];
    for (let n = 1; n <= 6; n++) {
      const small = smallKernel();
      const { core, kernel } = small;
      small.act(function* () {
        const mm = core.mms.create();
        const address = yield* core.mms.mmap(mm, 4096, RW);
        kernel.injection.failAt = kernel.injection.state.count + n;
        try {
          yield* core.cpu.store(mm, address, Uint8Array.of(1));
        } catch (error) {
          failures.push((error as { code: string }).code);
        }
        kernel.injection.failAt = 0;
        yield* core.cpu.store(mm, address, Uint8Array.of(1));
        yield* core.mms.put(mm);
      });
      expect(census(core)).toEqual(small.baseline);
    }
    // Three tables and one page.
    expect(failures).toEqual(['EFAULT', 'EFAULT', 'EFAULT', 'EFAULT']);
  });

  it('keeps every byte when two tasks fault the same pages at once, under any schedule', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const small = smallKernel();
      const { core, kernel } = small;
      const mm = core.mms.create();
      mm.users = 3;
      let address = 0n;
      kernel.spawn('a', function* () {
        address = yield* core.mms.mmap(mm, 8192, RW);
        for (const [name, offset] of [
          ['b', 0],
          ['c', 1],
        ] as const) {
          kernel.spawn(name, function* () {
            for (let i = 0; i < 4; i++)
              yield* core.cpu.store(mm, address + BigInt(i * 2048 + offset), Uint8Array.of(i + offset + 1));
            yield* core.mms.put(mm);
          });
        }
        while (mm.users > 1) yield* kernel.clock.sleep(1);
        const into = new Uint8Array(2);
        for (let i = 0; i < 4; i++) {
          yield* core.cpu.load(mm, address + BigInt(i * 2048), into);
          expect([...into]).toEqual([i + 1, i + 2]);
        }
        yield* core.mms.put(mm);
      });
      expect(small.run(new RandomChooser(seed)).end).toBe('finished');
      expect(census(core)).toEqual(small.baseline);
    }
  });

  it('refuses register accesses that are no aligned words', () => {
    const small = smallKernel();
    const { core } = small;
    let code = '';
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mappings.mmapDevice(mm, RAM - 4096, 4096, RW, null);
      try {
        yield* core.cpu.store(mm, address + 2n, Uint8Array.of(1));
      } catch (error) {
        ({ code } = error as { code: string });
      }
      yield* core.mms.put(mm);
    });
    expect(code).toBe('EFAULT');
  });

  it('tells a listener of every word that it touched, and of the entry that led there', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mms.mmap(mm, 4096, RW);
      yield* core.cpu.store(mm, address, Uint8Array.of(1));
      const seen: [number, boolean][] = [];
      // Kernel objects, which lie above every address, are not looked at here.
      kernel.listener = { access: (_task, what, write) => what < 2 ** 50 && seen.push([what, write]) };
      yield* core.cpu.store(mm, address + 8n, new Uint8Array(20));
      yield* core.tlb.flushLocalPage(mm, Number(address >> 12n));
      yield* core.cpu.store(mm, address, Uint8Array.of(1));
      kernel.listener = null;
      const word = (core.cpu.hit.frame * 4096) / 8;
      const { at } = core.pageTables.find(mm, Number(address >> 12n));
      expect(seen).toEqual([
        [word + 1, true],
        [word + 2, true],
        [word + 3, true],
        // The TLB knew the page before; now the entry is read again.
        [word, true],
        [at / 8, false],
      ]);
      yield* core.mms.put(mm);
    });
  });

  it('runs processes in turn on its CPUs, each with a TLB of its own', () => {
    const small = smallKernel({ settings: { cpus: 3 } });
    const { core } = small;
    const ran: number[] = [];
    for (let n = 0; n < 5; n++) {
      core.processes.spawn(`p${n}`, function* (process) {
        const address = yield* core.processes.mmap(process, 4096, RW);
        yield* core.cpu.store(core.processes.mmOf(process), address, Uint8Array.of(1));
        ran.push(core.cpu.here());
      });
    }
    expect(small.run().end).toBe('finished');
    expect(ran.sort()).toEqual([0, 0, 1, 1, 2]);
  });

  it('drops its own line when a fault found nothing to change (PF-5, MN-14)', () => {
    class NeverDrops extends Cpu {
      override *spuriousFault(): ReturnType<Cpu['spuriousFault']> {}
    }
    const stepsOf = (parts: object): string => {
      const small = smallKernel({ parts });
      const { core } = small;
      core.kernel.spawn('t', function* () {
        const mm = core.mms.create();
        const address = yield* core.mms.mmap(mm, 4096, RW);
        yield* core.cpu.store(mm, address, Uint8Array.of(1));
        const page = Number(address >> 12n);
        // As if the entry had been read-only when the CPU cached it, and another CPU upgraded it since.
        core.tlb.fill(0, core.asids.asidOf(mm), page, core.cpu.hit.frame, PERM.READ);
        yield* core.cpu.store(mm, address, Uint8Array.of(2));
        yield* core.mms.put(mm);
      });
      core.kernel.begin(new FairChooser(), { ...DEFAULT_LIMITS, steps: 5000 });
      return core.kernel.run().end;
    };
    expect([stepsOf({}), stepsOf({ Cpu: NeverDrops })]).toEqual(['finished', 'limit']);
  });

  it('sets the Access flag and the dirty state by itself where it can, in one step (smmuv3.md 3.5, PF-10)', () => {
    // Bits 7:6 of the entry are AP (01 writable, 11 not), 10 is AF; bit 51 is DBM (smmuv3.md 3.2).
    const bits = (small: ReturnType<typeof smallKernel>, at: number): string => {
      const word = new Uint32Array(2);
      small.bus.load64(at, word);
      return `AP=${(word[0]! >>> 6) & 3} AF=${(word[0]! >>> 10) & 1} DBM=${(word[1]! >>> 19) & 1}`;
    };
    const after = (httu: 'none' | 'access' | 'dirty'): string[] => {
      const small = smallKernel({ cpu: { httu } });
      const { core, bus } = small;
      const seen: string[] = [];
      small.act(function* () {
        const mm = core.mms.create();
        const address = yield* core.mms.mmap(mm, 4096, RW);
        const page = Number(address >> 12n);
        const at = yield* core.pageTables.ensureTables(mm, page);
        const frame = bus.frames.alloc(mm.pageOwner);
        const made = yield* core.pageTables.setLeaf(mm, at, frame, RW, false, { dirty: false, accessed: false });
        expect([made, bits(small, at)]).toEqual([true, 'AP=3 AF=0 DBM=1']);
        for (const write of [false, true]) {
          const reached = core.cpu.translate(mm, page, write);
          seen.push(`${reached ? 'reached' : 'fault'} ${bits(small, at)}`);
        }
        yield* core.mms.put(mm);
      });
      return seen;
    };
    expect(after('none')).toEqual(['fault AP=3 AF=0 DBM=1', 'fault AP=3 AF=0 DBM=1']);
    expect(after('access')).toEqual(['reached AP=3 AF=1 DBM=1', 'fault AP=3 AF=1 DBM=1']);
    expect(after('dirty')).toEqual(['reached AP=3 AF=1 DBM=1', 'reached AP=1 AF=1 DBM=1']);
  });

  it('faults for the Access flag where hardware does not set it, once (PF-5)', () => {
    const small = smallKernel();
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mms.mmap(mm, 4096, RW);
      const page = Number(address >> 12n);
      const at = yield* core.pageTables.ensureTables(mm, page);
      const frame = core.pageFrames.alloc(mm.pageOwner);
      yield* core.pageTables.setLeaf(mm, at, frame, RW, false, { dirty: false, accessed: false });
      yield* core.cpu.load(mm, address, new Uint8Array(1));
      yield* core.cpu.load(mm, address, new Uint8Array(1));
      yield* core.cpu.store(mm, address, Uint8Array.of(5));
      yield* core.cpu.store(mm, address, Uint8Array.of(6));
      expect(small.bus.read8(frame * 4096)).toBe(6);
      yield* core.mms.put(mm);
    });
    // One for the flag, one for the first write.
    expect(small.log.filter((line) => line.startsWith('handle_mm_fault')).length).toBe(2);
    expect(census(core)).toEqual(small.baseline);
  });
});
