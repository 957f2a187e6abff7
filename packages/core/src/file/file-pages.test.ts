import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { at, codeOf, inSpace, load, PAGE, RW, store } from '../../test/address-space.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import { type Core, type FileContent, type Mm, PERM, Truncation, VMA_FLAG } from '../index.js';

/** A file of `pages` pages, each of which holds its number plus one. */
function data(core: Core, pages: number): FileContent {
  const content = core.pageCache.create('data', pages * PAGE);
  for (let i = 0; i < pages; i++) content.stored.set(i, new Uint8Array(PAGE).fill(i + 1));
  return content;
}

/** Maps a file from its page `from` on, without a descriptor. */
function* map(
  core: Core,
  mm: Mm,
  content: FileContent,
  { pages = 4, from = 0, shared = false, perm = RW } = {},
): Coroutine<number> {
  const file = core.files.newContent(content);
  const flags = shared ? VMA_FLAG.SHARED : 0;
  const address = yield* core.mms.mmap(mm, pages * PAGE, perm, file, { flags, offset: from * PAGE });
  core.files.put(file);
  return Number(address >> 12n);
}

describe('a mapping of a file', () => {
  it('shows its pages, read when they are touched (PF-5b)', () => {
    inSpace(function* ({ core, mm, small }) {
      const content = data(core, 4);
      const first = yield* map(core, mm, content, { from: 2, pages: 3 });
      expect([yield* load(core, mm, first), yield* load(core, mm, first + 1)]).toEqual([3, 4]);
      expect(small.log.filter((line) => line.includes('result=4'))).toHaveLength(2);
      expect([...content.cached.keys()]).toEqual([2, 3]);
      // Beyond the end of the file there is nothing.
      expect(yield* codeOf(load(core, mm, first + 2))).toBe('EFAULT');
    });
  });

  it('private: a write makes a copy, and the file stays as it is (PF-5c)', () => {
    inSpace(function* ({ core, mm, tlb }) {
      const content = data(core, 2);
      const first = yield* map(core, mm, content, { pages: 2 });
      const other = yield* map(core, mm, content, { pages: 2, shared: true });
      yield* load(core, mm, first);
      tlb.translate(first);
      yield* store(core, mm, first, 9);
      yield* store(core, mm, first + 1, 9);
      expect(tlb.stale()).toEqual([]);
      expect([yield* load(core, mm, other), yield* load(core, mm, other + 1)]).toEqual([1, 2]);
      expect(content.dirty.size).toBe(0);
    });
  });

  it('shared: a write is noticed once, seen by everybody, and reaches the disk', () => {
    inSpace(function* ({ core, mm, small, tlb }) {
      const content = data(core, 1);
      const first = yield* map(core, mm, content, { pages: 1, shared: true });
      const other = yield* map(core, mm, content, { pages: 1, shared: true });
      yield* load(core, mm, first);
      expect(tlb.look(first)?.perm).toBe(PERM.READ);
      tlb.translate(first);
      yield* store(core, mm, first, 9);
      expect(tlb.stale()).toEqual([]);
      expect(content.dirty.size).toBe(1);
      const faults = small.log.length;
      yield* store(core, mm, first, 10);
      expect(small.log.length).toBe(faults);
      expect(yield* load(core, mm, other)).toBe(10);
      yield* core.mms.munmap(mm, at(first), PAGE);
      yield* core.mms.munmap(mm, at(other), PAGE);
      // The delayed worker closes the file.
      yield* small.kernel.clock.sleep(1);
      expect(content.stored.get(0)![0]).toBe(10);
      expect(content.cached.size).toBe(0);
    });
  });

  it('shared: what hardware marked dirty reaches the disk too (PF-10)', () => {
    inSpace(
      function* ({ core, mm, small }) {
        const content = data(core, 1);
        const first = yield* map(core, mm, content, { pages: 1, shared: true });
        yield* load(core, mm, first);
        const { at: entry, entry: word } = core.pageTables.find(mm, first);
        expect(core.format.markUsed(word, true)).toBe(true);
        small.bus.store64(entry, word[0]!, word[1]!);
        small.bus.write8(core.leaves.find(mm, first)!.frame * 4096, 0x99);
        yield* core.mms.munmap(mm, at(first), PAGE);
        yield* small.kernel.clock.sleep(1);
        expect(content.stored.get(0)![0]).toBe(0x99);
      },
      { settings: { 'hw-af-dirty': 'on' } },
    );
  });

  it('refuses a file that has no pages, and gives memory back when there is none for the mapping', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    core.processes.spawn('p', function* (process) {
      const device = core.files.open(process, 'dev', { *release() {} });
      expect(yield* codeOf(core.processes.mmapContent(process, device, PAGE, RW))).toBe('ENODEV');
      kernel.injection.failAt = kernel.injection.state.count + 2;
      expect(yield* codeOf(core.processes.mmap(process, PAGE, RW, { flags: VMA_FLAG.SHARED }))).toBe('ENOMEM');
    });
    expect(small.run().end).toBe('finished');
    expect(census(core)).toEqual(small.baseline);
  });
});

describe('truncate', () => {
  it('takes pages and private copies away from everybody, and a later touch is a bus error (MN-13)', () => {
    inSpace(function* ({ core, mm, tlb, small }) {
      const content = data(core, 4);
      const shared = yield* map(core, mm, content, { shared: true });
      const copy = yield* map(core, mm, content);
      for (let i = 0; i < 4; i++) {
        yield* load(core, mm, shared + i);
        yield* store(core, mm, copy + i, 0x40 + i);
        tlb.translate(shared + i);
        tlb.translate(copy + i);
      }
      yield* core.truncation.truncate(content, PAGE + 100);
      expect(tlb.stale()).toEqual([]);
      expect([...content.cached.keys(), ...content.stored.keys()]).toEqual([0, 1, 0, 1]);
      for (const first of [shared, copy]) expect(yield* codeOf(load(core, mm, first + 2))).toBe('EFAULT');
      expect([yield* load(core, mm, shared + 1), yield* load(core, mm, copy + 1)]).toEqual([2, 0x41]);
      // What was cut off reads as zeros when the file grows again.
      yield* core.truncation.truncate(content, 4 * PAGE);
      const byte = new Uint8Array(1);
      yield* core.cpu.load(mm, at(shared + 1) + 100n, byte);
      expect([byte[0], yield* load(core, mm, shared + 2)]).toEqual([0, 0]);
      expect(small.bus.frames.inUse()).toBeGreaterThan(0);
    });
  });

  it('frees pages that a device still reaches when nobody tells it (L43)', () => {
    class Silent extends Truncation {
      override *flush(): Coroutine<void> {}
    }
    inSpace(
      function* ({ core, mm, tlb, small }) {
        const content = data(core, 1);
        const first = yield* map(core, mm, content, { pages: 1, shared: true });
        yield* load(core, mm, first);
        const frame = tlb.translate(first);
        yield* core.truncation.truncate(content, 0);
        expect(tlb.lines.get(first)?.frame).toBe(frame);
        expect(small.bus.frames.story(frame)).toContain('it was freed');
      },
      { parts: { Truncation: Silent } },
    );
  });

  it('comes from another process, also one that has not mapped the file', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const content = data(core, 2);
    core.processes.spawn('p', function* (process) {
      const file = core.files.openContent(process, content);
      const address = yield* core.processes.mmapContent(process, file, 2 * PAGE, RW, { flags: VMA_FLAG.SHARED });
      yield* core.cpu.store(core.processes.mmOf(process), address, Uint8Array.of(9));
      yield* kernel.clock.sleep(1000);
      expect(yield* codeOf(core.cpu.load(core.processes.mmOf(process), address, new Uint8Array(1)))).toBe('EFAULT');
    });
    core.processes.spawn('q', function* (process) {
      yield* kernel.clock.sleep(500);
      const file = core.files.openContent(process, content);
      yield* core.processes.truncate(process, file, 0);
      const device = core.files.open(process, 'dev', { *release() {} });
      expect(yield* codeOf(core.processes.truncate(process, device, 0))).toBe('EINVAL');
    });
    expect(small.run().end).toBe('finished');
    expect(census(core)).toEqual(small.baseline);
  });

  it('leaves no page of the file anywhere, however it meets faults, reclaim and exit, under any schedule', () => {
    const outcomes = new Set<string>();
    for (let seed = 1; seed <= 150; seed++) {
      const small = smallKernel();
      const { core } = small;
      const content = data(core, 2);
      for (const name of ['p', 'q']) {
        core.processes.spawn(name, function* (process) {
          const file = core.files.openContent(process, content);
          const address = yield* core.processes.mmapContent(process, file, 2 * PAGE, RW, { flags: VMA_FLAG.SHARED });
          const mm = core.processes.mmOf(process);
          for (let i = 0; i < 3; i++) {
            outcomes.add(yield* codeOf(core.cpu.store(mm, address + 0x1000n, Uint8Array.of(i))));
            if (i === 1) yield* core.mms.reclaim(mm, Number(address >> 12n) + 1);
          }
        });
      }
      core.processes.spawn('cutter', function* (process) {
        const file = core.files.openContent(process, content);
        yield* core.processes.truncate(process, file, PAGE);
        expect([...content.cached.keys()].filter((index) => index > 0)).toEqual([]);
      });
      expect(small.run(new RandomChooser(seed))).toMatchObject({ end: 'finished' });
      expect(census(core)).toEqual(small.baseline);
    }
    expect([...outcomes].sort()).toEqual(['EFAULT', 'none']);
  });
});

describe('a hole punched into a file', () => {
  it('reads as zeros, and private copies stay', () => {
    inSpace(function* ({ core, mm, tlb }) {
      const content = data(core, 4);
      const shared = yield* map(core, mm, content, { shared: true });
      const copy = yield* map(core, mm, content);
      for (let i = 0; i < 4; i++) yield* load(core, mm, shared + i);
      yield* store(core, mm, copy + 1, 0x41);
      yield* load(core, mm, copy + 2);
      for (let i = 0; i < 4; i++) {
        tlb.translate(shared + i);
        tlb.translate(copy + i);
      }
      expect(yield* codeOf(core.truncation.punchHole(content, 100, PAGE))).toBe('EINVAL');
      yield* core.truncation.punchHole(content, PAGE, 2 * PAGE);
      expect(tlb.stale()).toEqual([]);
      const bytes: number[] = [];
      for (let i = 0; i < 4; i++) bytes.push(yield* load(core, mm, shared + i));
      expect(bytes).toEqual([1, 0, 0, 4]);
      expect([yield* load(core, mm, copy + 1), yield* load(core, mm, copy + 2)]).toEqual([0x41, 0]);
    });
  });
});
