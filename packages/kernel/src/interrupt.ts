import { assert } from './errors.js';
import type { Kernel } from './kernel.js';
import type { Coroutine, Footprint, Task } from './types.js';

/** One interrupt line: hardware raises it, a driver's thread handles it. */
export interface InterruptLine {
  readonly name: string;
  /** Level-triggered: asserted while true; the thread runs again until it is false. */
  set(level: boolean): void;
  /** Edge-triggered: the thread runs once more after this, also if it is running now. */
  pulse(): void;
  /** The driver's handler: a task of its own. One handler a line. */
  handle(thread: () => Coroutine<void>): void;
}

/** The embedded {@link InterruptLine}. An interrupt without a handler is kept until there is one. */
export class ThreadedInterrupt implements InterruptLine {
  readonly kernel: Kernel;
  readonly name: string;
  readonly footprint: Footprint;
  readonly state: { level: boolean; pending: boolean; thread: Task | null } = {
    level: false,
    pending: false,
    thread: null,
  };

  constructor(kernel: Kernel, name: string) {
    this.kernel = kernel;
    this.name = name;
    this.footprint = kernel.footprint();
    kernel.checkpoints.keep(this.state);
  }

  /** The handler's task, once there is one. */
  get thread(): Task | null {
    return this.state.thread;
  }

  set(level: boolean): void {
    this.state.level = level;
    this.kernel.touch(this.footprint, true);
    // A thread at work looks at the level before it rests.
    if (level && (this.thread === null || this.kernel.resting(this.thread))) this.raise();
  }

  pulse(): void {
    this.raise();
  }

  raise(): void {
    if (this.thread === null) this.state.pending = true;
    else this.kernel.kick(this.thread);
  }

  handle(thread: () => Coroutine<void>): void {
    assert(this.thread === null, `interrupt ${this.name} has a handler already`);
    this.state.thread = this.kernel.daemon(`irq-${this.name}`, () => this.work(thread));
    if (this.state.pending || this.state.level) this.raise();
    this.state.pending = false;
  }

  *work(thread: () => Coroutine<void>): Coroutine<void> {
    yield* thread();
    while (this.state.level) {
      // A handler that never lowers the level is found as a livelock or by a limit, even if it has no point of its own.
      yield* this.kernel.point(this.footprint, false);
      if (this.state.level) yield* thread();
    }
  }
}
