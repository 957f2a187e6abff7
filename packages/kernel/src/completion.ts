import type { Kernel } from './kernel.js';
import type { Coroutine } from './types.js';
import { WaitQueue } from './wait-queue.js';

/** "It has happened": waiters go on once {@link complete} was called, however early. */
export class Completion {
  readonly queue: WaitQueue;
  done = false;

  constructor(kernel: Kernel, why: string) {
    this.queue = new WaitQueue(kernel, why);
  }

  /** Waits until {@link complete}. */
  *wait(): Coroutine<void> {
    yield* this.queue.wait(() => this.done);
  }

  /** Lets every waiter, present and future, go on. */
  complete(): void {
    this.done = true;
    this.queue.kernel.touch(this.queue.footprint, true);
    this.queue.wake();
  }

  /** Makes it wait-able again. Before the event is started, never after (a completion in between would be lost). */
  reinit(): void {
    this.done = false;
  }
}
