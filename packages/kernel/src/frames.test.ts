import { describe, expect, it } from 'vitest';
import { ending, go, pause } from '../test/harness.js';
import { Kernel, PhysicalMemory } from './index.js';

const MIB = 2 ** 20;

function memoryOf(...regions: [base: number, mib: number][]): { kernel: Kernel; memory: PhysicalMemory } {
  const kernel = new Kernel();
  return {
    kernel,
    memory: new PhysicalMemory(
      kernel,
      regions.map(([base, mib]) => ({ base, bytes: mib * MIB })),
    ),
  };
}

/** What a run says that does this in its only task. */
function saying(kernel: Kernel, body: () => void): string {
  kernel.spawn('T1', function* () {
    yield* pause(kernel);
    body();
    yield* pause(kernel);
  });
  return ending(go(kernel));
}

describe('FrameAllocator', () => {
  it('reuses the last freed frame first, zeroed (L03, L40)', () => {
    const { memory } = memoryOf([0x40000000, 2]);
    const { frames } = memory;
    const [a, b, c] = [frames.alloc('mm 1'), frames.alloc('mm 1'), frames.alloc('mm 1')];
    expect([a, b, c]).toEqual([0x40000, 0x40001, 0x40002]);
    memory.store64(a * 4096 + 8, 1, 2);
    frames.free(b);
    frames.free(a);
    expect([frames.alloc('mm 2'), frames.alloc('mm 2'), frames.alloc('mm 2')]).toEqual([a, b, 0x40003]);
    expect(memory.load32(a * 4096 + 8)).toBe(0);
    expect(frames.ownerOf(a)).toBe('mm 2');
  });

  it('tells why a touch of a frame is wrong: never allocated, no RAM, freed by whom (L03, INV-1)', () => {
    const { kernel, memory } = memoryOf([0x40000000, 2]);
    const { frames } = memory;
    expect(frames.story(0x40000)).toBe('it was never allocated');
    expect(frames.story(0x3ffff)).toBe('it is no RAM');
    const pfn = frames.alloc('mm 1');
    expect(frames.story(pfn)).toBeNull();
    saying(kernel, () => frames.free(pfn));
    expect(frames.story(pfn)).toBe('it was freed by T1 at step 1; its last owner was mm 1');
    expect(frames.ownerOf(pfn)).toBeNull();
  });

  it('reports a double free with the story (INV-9)', () => {
    const { kernel, memory } = memoryOf([0, 2]);
    const pfn = memory.frames.alloc('mm 1');
    const end = saying(kernel, () => {
      memory.frames.free(pfn);
      memory.frames.free(pfn);
    });
    expect(end).toBe('INV-9: frame 0x0 is freed, but it was freed by T1 at step 1; its last owner was mm 1');
  });

  it('reports a free of another size, of the middle of a block, and of what is no RAM (INV-9)', () => {
    for (const [pfn, order, story] of [
      [4, 1, 'frame 0x4 is freed, but its block has 2^2 frames, not 2^1'],
      [5, 0, 'frame 0x5 is freed, but it lies inside a block'],
      [9999, 0, 'frame 0x270f is freed, but it is no RAM'],
    ] as const) {
      const { kernel, memory } = memoryOf([0, 2]);
      memory.frames.alloc('filler', 2);
      expect(memory.frames.alloc('table', 2)).toBe(4);
      expect(saying(kernel, () => memory.frames.free(pfn, order))).toBe(`INV-9: ${story}`);
      expect(memory.frames.inUse()).toBe(8);
    }
  });

  it('aligns blocks to their size, and gives what that skips to smaller ones', () => {
    const { memory } = memoryOf([0x40000000, 2]);
    const { frames } = memory;
    frames.alloc('a');
    expect(frames.alloc('queue', 3)).toBe(0x40008);
    expect([frames.alloc('b', 1), frames.alloc('b', 2), frames.alloc('b')]).toEqual([0x40002, 0x40004, 0x40001]);
    expect(frames.alloc('b')).toBe(0x40010);
  });

  it('does not let the skipped frames hide the last freed one', () => {
    const { memory } = memoryOf([0, 2]);
    const { frames } = memory;
    const freed = frames.alloc('a');
    frames.free(freed);
    frames.alloc('queue', 3);
    expect(frames.alloc('b')).toBe(freed);
  });

  it('never lets a block cross from one region into another', () => {
    const { memory } = memoryOf([0x40000000, 2], [0x80000000, 4]);
    const { frames } = memory;
    const first = frames.alloc('a', 8);
    const block = frames.alloc('b', 9);
    const above = frames.alloc('c', 9);
    const small = frames.alloc('d', 8);
    expect([first, block, above, small]).toEqual([0x40000, 0x80000, 0x80200, 0x40100]);
  });

  it('aligns by physical address, not by index', () => {
    const { memory } = memoryOf([0x40200000, 2], [0x80000000, 8]);
    expect(memory.frames.alloc('table', 10)).toBe(0x80000);
  });

  it('splits a freed block when nothing else is left, and fails when nothing is', () => {
    const { memory } = memoryOf([0, 2]);
    const { frames } = memory;
    frames.free(frames.alloc('all', 9), 9);
    const all = new Set(Array.from({ length: 512 }, () => frames.alloc('one')));
    expect(all.size).toBe(512);
    expect(() => frames.alloc('one more')).toThrow(/no 1 contiguous frames are left \(ENOMEM\)/);
    expect(frames.inUse()).toBe(512);
  });

  it('names who holds what is in use: the story of a leak', () => {
    const { memory } = memoryOf([0, 2]);
    memory.frames.alloc('mm 1 tables');
    memory.frames.free(memory.frames.alloc('mm 2 tables'));
    memory.frames.alloc('command queue', 1);
    expect(memory.frames.holders()).toEqual([
      ['mm 1 tables', 1],
      ['command queue', 2],
    ]);
  });

  it('changes the generation with every alloc and free: odd while in use (L40)', () => {
    const { memory } = memoryOf([0, 2]);
    const pfn = memory.frames.alloc('a');
    expect(memory.generationOf(pfn)).toBe(1);
    memory.frames.free(pfn);
    expect(memory.generationOf(pfn)).toBe(2);
    memory.frames.alloc('b');
    expect(memory.generationOf(pfn)).toBe(3);
    expect(memory.generationOf(1e6)).toBe(0);
  });

  it('tells the observer of every frame of a block', () => {
    const { kernel, memory } = memoryOf([0, 2]);
    const seen: string[] = [];
    kernel.observer = Object.assign(Object.create(kernel.observer), {
      frame: (pfn: number, owner: string, allocated: boolean) => seen.push(`${allocated ? '+' : '-'}${pfn} ${owner}`),
    });
    memory.frames.free(memory.frames.alloc('q', 1), 1);
    expect(seen).toEqual(['+0 q', '+1 q', '-0 q', '-1 q']);
  });

  it('is as it was after a restore: owners, stories, free lists, contents', () => {
    const { kernel, memory } = memoryOf([0, 2]);
    const { frames } = memory;
    const [kept, freed] = [frames.alloc('kept'), frames.alloc('freed')];
    memory.store64(kept * 4096, 7, 8);
    frames.free(freed);
    const before = [frames.story(freed), frames.story(9), frames.inUse(), frames.holders()];
    const { restore } = kernel.checkpoints.take();
    for (let i = 0; i < 2; i++) {
      expect(frames.alloc('run')).toBe(freed);
      expect(frames.alloc('run', 3)).toBe(8);
      frames.free(kept);
      expect(frames.alloc('thief')).toBe(kept);
      memory.store64(kept * 4096, 0, 1);
      restore();
      expect([frames.story(freed), frames.story(9), frames.inUse(), frames.holders()]).toEqual(before);
      expect([memory.load32(kept * 4096), memory.load32(kept * 4096 + 4)]).toEqual([7, 8]);
    }
  });
});
