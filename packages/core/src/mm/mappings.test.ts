import { describe, expect, it } from 'vitest';
import { Listener } from '../../test/listener.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import { type Mm, PERM } from '../index.js';

const RW = PERM.READ | PERM.WRITE;
const TOP = 0xffff_b9d1_7000n;
const ranges = (mm: Mm): string[] => mm.vmas.map((vma) => `${vma.first.toString(16)}-${vma.end.toString(16)}`);

describe('mmap', () => {
  it('grows downwards, each mapping directly below the one before', () => {
    const small = smallKernel();
    const { mms } = small.core;
    small.act(function* () {
      const mm = mms.create();
      expect(yield* mms.mmap(mm, 8192, RW)).toBe(TOP - 8192n);
      expect(yield* mms.mmap(mm, 1, RW)).toBe(TOP - 3n * 4096n);
      // What goes on where the other ends, in every respect, is one mapping (VMA-2).
      expect(ranges(mm)).toEqual(['ffffb9d14-ffffb9d17']);
      yield* mms.munmap(mm, TOP - 8192n, 4096);
      expect(yield* mms.mmap(mm, 8192, RW)).toBe(TOP - 5n * 4096n);
      expect(yield* mms.mmap(mm, 4096, RW)).toBe(TOP - 8192n);
      yield* mms.put(mm);
    });
  });

  it('refuses no bytes, and more than there is room for', () => {
    const small = smallKernel();
    const { mms } = small.core;
    small.act(function* () {
      const mm = mms.create();
      const errors: unknown[] = [];
      for (const bytes of [0, 2 ** 48]) {
        try {
          yield* mms.mmap(mm, bytes, RW);
        } catch (error) {
          errors.push((error as { code: string }).code);
        }
      }
      expect(errors).toEqual(['EINVAL', 'ENOMEM']);
      yield* mms.put(mm);
    });
    expect(census(small.core)).toEqual(small.baseline);
  });

  it('maps registers at once, and never frees their frames', () => {
    const small = smallKernel();
    const { core, bus } = small;
    const registers = new Uint32Array(2048);
    bus.claim(0x1000_0000, 8192, {
      read: (offset, _bytes, out) => out.set([registers[offset / 4]!]),
      write: (offset, _bytes, lo) => registers.set([lo], offset / 4),
    });
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mappings.mmapDevice(mm, 0x1000_0000, 8192, RW, null);
      yield* core.cpu.store(mm, address + 4096n + 8n, Uint8Array.of(1, 2, 3, 0x84));
      expect(registers[1026]).toBe(0x8403_0201);
      const into = new Uint8Array(4);
      yield* core.cpu.load(mm, address + 4104n, into);
      expect([...into]).toEqual([1, 2, 3, 0x84]);
      yield* core.mms.put(mm);
    });
    expect(census(core)).toEqual(small.baseline);
  });
});

describe('munmap', () => {
  it('splits a mapping, and leaves the rest of it valid (VMA-2)', () => {
    const small = smallKernel();
    const { mms, cpu } = small.core;
    small.act(function* () {
      const mm = mms.create();
      const address = yield* mms.mmap(mm, 4 * 4096, RW);
      yield* cpu.fill(mm, address, 4 * 4096, (i) => i >> 12);
      yield* mms.munmap(mm, address + 4096n, 8192);
      expect(ranges(mm)).toEqual(['ffffb9d13-ffffb9d14', 'ffffb9d16-ffffb9d17']);
      const byte = new Uint8Array(1);
      yield* cpu.load(mm, address + 3n * 4096n, byte);
      expect(byte[0]).toBe(3);
      yield* cpu.load(mm, address + 4095n, byte);
      expect(byte[0]).toBe(0);
      let code = '';
      try {
        yield* cpu.load(mm, address + 4096n, byte);
      } catch (error) {
        code = (error as { code: string }).code;
      }
      expect(code).toBe('EFAULT');
      yield* mms.put(mm);
    });
    expect(census(small.core)).toEqual(small.baseline);
  });

  it.each([
    ['on', 2],
    ['off', 1],
  ])('notifies a touched range %s the duplicate switch (MN-12): %i time(s)', (duplicate, times) => {
    const small = smallKernel({ settings: { 'mn.duplicate': duplicate } });
    const { core } = small;
    const listener = new Listener();
    small.act(function* () {
      const mm = core.mms.create();
      const subscription = yield* core.notifiers.get(listener, mm, listener.make);
      const address = yield* core.mms.mmap(mm, 8192, RW);
      yield* core.cpu.fill(mm, address, 8192, () => 1);
      yield* core.mms.munmap(mm, address, 8192);
      expect(listener.log).toEqual(Array(times).fill('invalidate mm:1 [0xffffb9d15000, 0xffffb9d17000)'));
      core.notifiers.put(subscription);
      yield* core.mms.put(mm);
    });
    expect(census(core)).toEqual(small.baseline);
  });

  it.each([
    ['on', 1],
    ['off', 0],
  ])('leaves the batch flush out when nothing was present, with the duplicate %s (MN-12)', (duplicate, times) => {
    const small = smallKernel({ settings: { 'mn.duplicate': duplicate } });
    const { core } = small;
    const listener = new Listener();
    small.act(function* () {
      const mm = core.mms.create();
      const subscription = yield* core.notifiers.get(listener, mm, listener.make);
      const address = yield* core.mms.mmap(mm, 8192, RW);
      yield* core.mms.munmap(mm, address, 8192);
      expect(listener.log).toHaveLength(times);
      core.notifiers.put(subscription);
      yield* core.mms.put(mm);
    });
  });

  it('flushes only what was present in the batch, and the whole range at its end (MN-12)', () => {
    const small = smallKernel();
    const { core } = small;
    const listener = new Listener();
    small.act(function* () {
      const mm = core.mms.create();
      const subscription = yield* core.notifiers.get(listener, mm, listener.make);
      yield* core.cpu.fill(mm, yield* core.mms.mmap(mm, 4096, RW), 1, () => 1);
      const address = yield* core.mms.mmap(mm, 4 * 4096, RW);
      yield* core.cpu.store(mm, address + 4096n, Uint8Array.of(1));
      yield* core.mms.munmap(mm, address, 4 * 4096);
      expect(listener.log).toEqual([
        'invalidate mm:1 [0xffffb9d12000, 0xffffb9d16000)',
        'invalidate mm:1 [0xffffb9d13000, 0xffffb9d14000)',
      ]);
      core.notifiers.put(subscription);
      yield* core.mms.put(mm);
    });
  });

  it('frees pages only after the callbacks have returned, and tables that served nothing else (MN-18)', () => {
    const small = smallKernel();
    const { core, bus } = small;
    const inUse: number[] = [];
    const listener = new Listener();
    listener.invalidateRange = function* () {
      inUse.push(bus.frames.inUse());
    };
    small.act(function* () {
      const mm = core.mms.create();
      const subscription = yield* core.notifiers.get(listener, mm, listener.make);
      // Two mappings 1 GiB apart: they share the two upper tables only.
      const upper = yield* core.mms.mmap(mm, 4096, RW);
      const hole = yield* core.mms.mmap(mm, 2 ** 30, RW);
      const lower = yield* core.mms.mmap(mm, 4096, RW);
      yield* core.mms.munmap(mm, hole, 2 ** 30);
      for (const address of [upper, lower]) yield* core.cpu.store(mm, address, Uint8Array.of(1));
      inUse.length = 0;
      expect(bus.frames.inUse()).toBe(8);
      yield* core.mms.munmap(mm, lower, 4096);
      expect(inUse).toEqual([8, 8]);
      expect(bus.frames.inUse()).toBe(5);
      yield* core.cpu.store(mm, upper, Uint8Array.of(2));
      core.notifiers.put(subscription);
      yield* core.mms.put(mm);
    });
    expect(census(core)).toEqual(small.baseline);
  });

  it('reuses a freed frame at once', () => {
    const small = smallKernel();
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mms.mmap(mm, 4096, RW);
      yield* core.mms.mmap(mm, 4096, RW);
      yield* core.cpu.store(mm, address, Uint8Array.of(7));
      const frame = core.cpu.hit.frame;
      yield* core.mms.munmap(mm, address, 4096);
      const again = yield* core.mms.mmap(mm, 4096, RW);
      const byte = Uint8Array.of(9);
      yield* core.cpu.load(mm, again, byte);
      expect(byte[0]).toBe(0);
      expect(core.cpu.hit.frame).toBe(frame);
      yield* core.mms.put(mm);
    });
  });

  it('changes nothing when a mapping cannot be split for want of memory', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mms.mmap(mm, 3 * 4096, RW);
      kernel.injection.failAt = kernel.injection.state.count + 1;
      let code = '';
      try {
        yield* core.mms.munmap(mm, address + 4096n, 4096);
      } catch (error) {
        code = (error as { code: string }).code;
      }
      expect(code).toBe('ENOMEM');
      expect(ranges(mm)).toEqual(['ffffb9d14-ffffb9d17']);
      yield* core.mms.put(mm);
    });
    expect(census(core)).toEqual(small.baseline);
  });

  it('lets go of the file with its mapping (VMA-4)', () => {
    const small = smallKernel();
    const { core } = small;
    let released = 0;
    core.processes.spawn('p', function* (process) {
      const mm = core.processes.mmOf(process);
      const file = core.files.open(process, 'dev', {
        *release() {
          released++;
        },
      });
      const address = yield* core.mms.mmap(mm, 3 * 4096, RW, file);
      expect(file.refs).toBe(2);
      yield* core.processes.close(process, file);
      yield* core.processes.munmap(process, address + 4096n, 4096);
      expect(file.refs).toBe(2);
      yield* core.processes.munmap(process, address, 4096);
      expect(released).toBe(0);
      yield* core.processes.munmap(process, address + 8192n, 4096);
      expect(released).toBe(1);
    });
    expect(small.run().end).toBe('finished');
    expect(census(core)).toEqual(small.baseline);
  });
});
