import { expect, it } from 'vitest';
import { type MachineBus, PhysicalBus } from './bus.js';
import { FairChooser } from './chooser/fair.js';
import { CoherentMemory } from './dma-memory.js';
import type { ForeignTime } from './foreign.js';
import { FrameSpace } from './frame-space.js';
import { ThreadedInterrupt } from './interrupt.js';
import { Kernel } from './kernel.js';
import type { Outcome } from './types.js';

const RAM = 0x4000_0000;
const WORD = RAM + 8;

/** Hardware with a time of its own: it does things at given times, and stores where nobody sees it. */
class Elsewhere implements ForeignTime {
  now = 0;
  readonly words = new Map<number, number>();
  readonly due: { at: number; act: () => void }[] = [];
  raised = false;

  news(): boolean {
    const { raised } = this;
    this.raised = false;
    return raised;
  }

  pass(ns: number): number {
    const first = Math.min(...this.due.map(({ at }) => at));
    if (first === Number.POSITIVE_INFINITY) return 0;
    const passed = Math.min(ns, Math.max(0, first - this.now));
    this.now += passed;
    for (const task of this.due.splice(0)) {
      if (task.at <= this.now) task.act();
      else this.due.push(task);
    }
    return Math.max(1, passed);
  }
}

function rig(): { kernel: Kernel; side: Elsewhere; dma: CoherentMemory; run: () => Outcome } {
  const kernel = new Kernel();
  const side = new Elsewhere();
  const bus = new PhysicalBus(kernel, [{ base: RAM, bytes: 2 << 20 }]);
  // What it stores is seen by loads, and by nothing else.
  const foreign = Object.assign(Object.create(bus) as MachineBus, {
    load32: (pa: number) => side.words.get(pa) ?? 0,
  });
  kernel.attach(side);
  kernel.begin(new FairChooser());
  return { kernel, side, dma: new CoherentMemory(kernel, foreign), run: () => kernel.run() };
}

it('looks again when foreign hardware may have stored a word that a driver polls', () => {
  const { kernel, side, dma, run } = rig();
  const seen: unknown[] = [];
  kernel.spawn('driver', function* () {
    // The doorbell of a device that answers at once, without anybody seeing it.
    yield* kernel.point(1, true);
    seen.push(yield* dma.until(WORD, () => dma.bus.load32(WORD) === 2, 'an answer', 1e9), kernel.clock.now());
  });
  kernel.spawn('doorbell', function* () {
    yield* kernel.point(2, true);
    side.words.set(WORD, 2);
  });
  expect(run().end).toBe('finished');
  expect(seen).toEqual([true, 0]);
});

it('lets time pass there before a time-out fires here', () => {
  const { kernel, side, dma, run } = rig();
  side.due.push({ at: 0.4e9, act: () => side.words.set(WORD, 2) });
  let answer: unknown;
  kernel.spawn('driver', function* () {
    answer = yield* dma.until(WORD, () => dma.bus.load32(WORD) === 2, 'an answer', 1e9);
  });
  expect(run().end).toBe('finished');
  expect(answer).toBe(true);
  expect(kernel.clock.now()).toBeCloseTo(0.4e9);
});

it('times out when the hardware does something later than the limit', () => {
  const { kernel, side, dma, run } = rig();
  side.due.push({ at: 2e9, act: () => side.words.set(WORD, 2) });
  let answer: unknown;
  kernel.spawn('driver', function* () {
    answer = yield* dma.until(WORD, () => dma.bus.load32(WORD) === 2, 'an answer', 1e9);
  });
  expect(run().end).toBe('finished');
  expect(answer).toBe(false);
  expect(kernel.clock.now()).toBe(1e9);
});

it('takes interrupts that are raised there', () => {
  const { kernel, side, run } = rig();
  const line = new ThreadedInterrupt(kernel, 'elsewhere');
  const idle = { ended: false };
  const news = side.news.bind(side);
  side.news = () => {
    const raised = news();
    if (raised) line.pulse();
    return raised;
  };
  side.due.push({ at: 5e6, act: () => void (side.raised = true) });
  kernel.spawn('driver', function* () {
    const task = kernel.self();
    line.handle(function* () {
      idle.ended = true;
      kernel.wake(task);
    });
    while (!idle.ended) yield* kernel.park('the interrupt');
  });
  expect(run().end).toBe('finished');
  expect(kernel.clock.now()).toBe(5e6);
});

it('finds that nothing will ever happen', () => {
  const { kernel, side, dma, run } = rig();
  // Something that ticks for ever is no sign of life.
  const tick = (at: number): void => void side.due.push({ at, act: () => tick(at + 1e6) });
  tick(1e6);
  kernel.spawn('driver', function* () {
    yield* dma.until(WORD, () => false, 'an answer', Number.POSITIVE_INFINITY);
  });
  expect(run()).toMatchObject({ end: 'deadlock', waits: [{ task: 'driver', for: 'an answer' }] });
});

it('hands out frames of RAM whose words lie elsewhere, zeroed', () => {
  const kernel = new Kernel();
  const zeroed: number[] = [];
  const regions = [
    { base: 0x10_0000, bytes: 8192 },
    { base: 0x1_0000_0000, bytes: 4096 },
  ];
  const space = new FrameSpace(kernel, regions, (pfn) => void zeroed.push(pfn));
  const got = [space.frames.alloc('a'), space.frames.alloc('b'), space.frames.alloc('c')];
  expect(got).toEqual([0x100, 0x101, 0x10_0000]);
  expect(zeroed).toEqual(got);
  expect([space.indexOf(0x10_0000), space.indexOf(0x102), space.generationOf(0x101)]).toEqual([2, -1, 1]);
  expect(() => space.frames.alloc('d')).toThrowError('no 1 contiguous frames are left');
});
