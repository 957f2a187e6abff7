import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ending, go } from '../test/harness.js';
import {
  CoherentMemory,
  type Coroutine,
  decodeToken,
  Kernel,
  Mutex,
  PhysicalBus,
  RandomChooser,
  ReplayChooser,
  RwSemaphore,
  Spinlock,
  tracepoint,
  WorkQueue,
} from './index.js';

/** One instruction of a small task program: what it does, and to which of a few objects. */
type Instruction = readonly [kind: (typeof KINDS)[number], which: number];
const KINDS = [
  'store',
  'load',
  'lock',
  'spin',
  'read',
  'write',
  'sleep',
  'alloc',
  'free',
  'frame',
  'work',
  'rcu',
  'kick',
] as const;

const instruction = fc.tuple(fc.constantFrom(...KINDS), fc.nat(2));
const program = fc.array(fc.array(instruction, { maxLength: 8 }), { minLength: 1, maxLength: 4 });

const step = tracepoint<{ text: string }>('step', ({ text }) => text);

/** A machine with some of everything, booted by a run of its own. */
class SmallMachine {
  readonly kernel = new Kernel();
  readonly bus = new PhysicalBus(this.kernel, [{ base: 0x40000000, bytes: 0x200000 }]);
  readonly memory = new CoherentMemory(this.kernel, this.bus);
  readonly mutexes = [0, 1, 2].map((i) => new Mutex(this.kernel, `mutex ${i}`));
  readonly spinlocks = [0, 1, 2].map((i) => new Spinlock(this.kernel, `spinlock ${i}`));
  readonly semaphores = [0, 1, 2].map((i) => new RwSemaphore(this.kernel, `semaphore ${i}`));
  readonly queue = new WorkQueue(this.kernel, 'wq', { workers: 2 });
  readonly things = this.kernel.slab('thing', { value: 0, users: new Set<string>() });
  readonly objects = this.kernel.checkpoints.keepList([this.things.alloc(), this.things.alloc(), this.things.alloc()]);
  readonly frames = this.kernel.checkpoints.keepList<number>([]);
  readonly out = new Uint32Array(2);
  readonly trace: string[] = [];
  readonly hardware = this.kernel.daemon('hw', () =>
    this.execute('hw', [
      ['store', 0],
      ['load', 1],
    ]),
  );

  constructor() {
    this.kernel.trace.add({
      event: ({ sequence, time, task, record }) =>
        this.trace.push(`${sequence} ${time} ${task} ${(record as { text: string }).text}`),
    });
  }

  boot(): this {
    this.kernel.spawn('boot', () =>
      this.execute('boot', [
        ['frame', 0],
        ['store', 1],
        ['sleep', 1],
        ['kick', 0],
        ['alloc', 1],
      ]),
    );
    expect(go(this.kernel).end).toBe('finished');
    return this;
  }

  say(text: string): void {
    this.kernel.trace.emit(step, { text });
  }

  *execute(name: string, instructions: readonly Instruction[]): Coroutine<void> {
    for (const [kind, which] of instructions) yield* this.one(name, kind, which);
  }

  *one(name: string, kind: Instruction[0], which: number): Coroutine<void> {
    const { kernel } = this;
    const pa = 0x40000000 + which * 4096;
    switch (kind) {
      case 'store':
        yield* this.memory.store64(pa, kernel.steps, which);
        break;
      case 'load':
        yield* this.memory.load64(pa, this.out);
        this.say(`${name} reads ${this.out[0]}`);
        break;
      case 'lock': {
        const lock = yield* this.mutexes[which]!.acquire();
        yield* this.memory.store64(pa, 1, 2);
        lock.release();
        break;
      }
      case 'spin': {
        const lock = yield* this.spinlocks[which]!.acquire();
        yield* this.memory.load64(pa, this.out);
        lock.release();
        break;
      }
      case 'read':
      case 'write': {
        const hold = yield* this.semaphores[which]![kind]();
        yield* kernel.clock.sleep(which);
        hold.release();
        break;
      }
      case 'sleep':
        yield* kernel.clock.sleep(which * 10);
        break;
      case 'alloc':
        this.objects[which] = this.things.alloc({ value: kernel.steps });
        this.objects[which]!.users.add(name);
        break;
      case 'free':
        this.say(`${name} frees ${this.objects[which]!.value} of ${[...this.objects[which]!.users].join()}`);
        this.things.free(this.objects[which]!);
        break;
      case 'frame':
        if (this.frames.length > 3) this.bus.frames.free(this.frames.pop()!);
        else this.frames.push(this.bus.frames.alloc(name));
        this.say(`${name} has ${this.frames.join()}`);
        break;
      case 'work':
        this.queue.queue({
          run: () =>
            this.execute(`${name}'s work`, [
              ['store', which],
              ['load', which],
            ]),
        });
        if (which === 2) yield* this.queue.flush();
        break;
      case 'rcu':
        kernel.rcu.readLock();
        yield* this.memory.load64(pa, this.out);
        kernel.rcu.readUnlock();
        kernel.rcu.call(() => this.say(`${name}'s grace period`));
        break;
      case 'kick':
        kernel.kick(this.hardware);
        break;
    }
  }

  /** One schedule: its trace, how it ended, what is left, what memory holds. */
  run(tasks: readonly (readonly Instruction[])[], chooser: RandomChooser | ReplayChooser): unknown {
    this.trace.length = 0;
    for (const [i, instructions] of tasks.entries())
      this.kernel.spawn(`T${i}`, () => this.execute(`T${i}`, instructions));
    const outcome = go(this.kernel, chooser);
    const memory = [0, 1, 2].map((page) => {
      this.bus.load64(0x40000000 + page * 4096, this.out);
      return [...this.out];
    });
    const frames = [this.bus.frames.inUse(), this.bus.frames.holders()];
    return {
      trace: [...this.trace],
      end: ending(outcome),
      token: outcome.token,
      steps: outcome.steps,
      memory,
      frames,
      slabs: this.kernel.slabs.stories(),
    };
  }
}

describe('a checkpoint', () => {
  it('makes restore + run equal to boot + run, whatever ran before: same trace, same end, same token', () => {
    fc.assert(
      fc.property(program, program, fc.nat(), fc.nat(), (before, tasks, seed, otherSeed) => {
        const booted = new SmallMachine().boot().run(tasks, new RandomChooser(seed));
        const machine = new SmallMachine().boot();
        const { restore } = machine.kernel.checkpoints.take();
        machine.run(before, new RandomChooser(otherSeed));
        restore();
        expect(machine.run(tasks, new RandomChooser(seed))).toEqual(booted);
        restore();
        expect(machine.run(tasks, new RandomChooser(seed))).toEqual(booted);
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it('makes a token replay the run that printed it', () => {
    fc.assert(
      fc.property(program, fc.nat(), (tasks, seed) => {
        const machine = new SmallMachine().boot();
        const { restore } = machine.kernel.checkpoints.take();
        const first = machine.run(tasks, new RandomChooser(seed)) as { token: string };
        restore();
        expect(machine.run(tasks, new ReplayChooser(decodeToken(first.token, '0')))).toEqual(first);
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  it('is reached by programs that finish, that break rules and that hang: the law is not vacuous', () => {
    const ends = new Map<string, number>();
    fc.assert(
      fc.property(program, fc.nat(), (tasks, seed) => {
        const { end } = new SmallMachine().boot().run(tasks, new RandomChooser(seed)) as { end: string };
        const kind = end.split(':')[0]!;
        ends.set(kind, (ends.get(kind) ?? 0) + 1);
      }),
      { seed: 3, numRuns: 300 },
    );
    expect(ends.get('finished')).toBeGreaterThan(100);
    expect(ends.get('INV-9')).toBeGreaterThan(10);
  });
});
