import type { Kernel } from './kernel.js';
import { removeAt } from './remove-at.js';
import type { Coroutine } from './types.js';

/** A timer that has not fired. */
export interface Timer {
  readonly at: number;
  readonly sequence: number;
  readonly fire: () => void;
}

/** Virtual time in nanoseconds. It moves only when nothing is runnable, to the next timer. */
export class Clock {
  readonly kernel: Kernel;
  readonly state = { now: 0, sequence: 0 };
  /** Pending timers, the next one last. */
  readonly timers: Timer[] = [];
  /** When the run began (ns). */
  began = 0;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.keep(this.state);
    kernel.checkpoints.keepList(this.timers);
  }

  /** Virtual nanoseconds since the machine was made. */
  now(): number {
    return this.state.now;
  }

  /** Calls `fire` after `ns` virtual nanoseconds; equal times fire in the order in which they were set. */
  after(ns: number, fire: () => void): Timer {
    const timer = { at: this.state.now + Math.max(0, ns), sequence: this.state.sequence++, fire };
    let i = this.timers.push(timer) - 1;
    for (; i > 0 && this.timers[i - 1]!.at <= timer.at; i--) this.timers[i] = this.timers[i - 1]!;
    this.timers[i] = timer;
    return timer;
  }

  /** Takes a timer back; one that fired already is no error. */
  cancel(timer: Timer): void {
    const i = this.timers.indexOf(timer);
    if (i >= 0) removeAt(this.timers, i);
  }

  /** Sleeps `ns` virtual nanoseconds. */
  *sleep(ns: number): Coroutine<void> {
    const task = this.kernel.self();
    let over = false;
    this.after(ns, () => {
      over = true;
      this.kernel.wake(task);
    });
    while (!over) yield* this.kernel.park(`${ns} ns to pass`);
  }

  /** Nanoseconds until the next timer fires; infinite without one. */
  untilNext(): number {
    const timer = this.timers.at(-1);
    return timer === undefined ? Number.POSITIVE_INFINITY : timer.at - this.state.now;
  }

  /** Foreign hardware says that so much time has passed: never beyond the next timer. */
  pass(ns: number): void {
    this.state.now += ns;
  }

  /** Moves to the next timer and fires it. False: there is none, or the limit was reached. */
  advance(): boolean {
    const timer = this.timers.pop();
    if (timer === undefined) return false;
    this.state.now = timer.at;
    const limit = this.kernel.limits.ns;
    if (timer.at - this.began > limit) this.kernel.end({ end: 'limit', limit: `ns (${limit})` });
    else timer.fire();
    return true;
  }
}
