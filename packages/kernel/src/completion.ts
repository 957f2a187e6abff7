import type { Kernel } from './kernel.js';
import type { Coroutine } from './types.js';
import { WaitQueue } from './wait-queue.js';

/** "It has happened": waiters go on once {@link complete} was called, however early. */
export class Completion {
  readonly queue: WaitQueue;
  readonly state = { done: false };

  /** `why` completes "waits for …" in reports. */
  constructor(kernel: Kernel, why: string) {
    this.queue = new WaitQueue(kernel, why);
    kernel.checkpoints.keep(this.state);
  }

  /** True once {@link complete} was called. */
  get done(): boolean {
    return this.state.done;
  }

  /** Waits until {@link complete}. */
  wait(): Coroutine<void> {
    return this.queue.wait(() => this.state.done);
  }

  /** Lets every waiter, present and future, go on. */
  complete(): void {
    this.state.done = true;
    this.queue.wake();
  }

  /** Makes it wait-able again. Before the event is started, never after (a completion in between would be lost). */
  reinit(): void {
    this.state.done = false;
    this.queue.kernel.touch(this.queue.footprint, true);
  }
}
