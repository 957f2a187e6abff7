import { assert } from './errors.js';
import type { Kernel } from './kernel.js';
import type { Coroutine, Task } from './types.js';

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
  readonly state = { level: false, pending: false };
  thread: Task | null = null;

  constructor(kernel: Kernel, name: string) {
    this.kernel = kernel;
    this.name = name;
    kernel.checkpoints.keep(this.state);
  }

  set(level: boolean): void {
    this.state.level = level;
    if (level) this.raise();
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
    this.thread = this.kernel.daemon(`irq-${this.name}`, () => this.work(thread));
    if (this.state.pending || this.state.level) this.raise();
    this.state.pending = false;
  }

  *work(thread: () => Coroutine<void>): Coroutine<void> {
    do yield* thread();
    while (this.state.level);
  }
}
