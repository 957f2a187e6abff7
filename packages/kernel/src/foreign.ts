import type { Kernel } from './kernel.js';

/**
 * Hardware outside this process. What it stores leaves no footprint, what it raises comes when it is asked, and it has a time
 * of its own.
 */
export interface ForeignTime {
  /** Takes the interrupts that were raised there to this machine's lines. True: there was one. */
  news(): boolean;
  /** Lets at most `ns` nanoseconds pass there. Returns how many passed; 0: nothing is due there, however long one waits. */
  pass(ns: number): number;
}

/** How much time passes there before its interrupts are taken and polling drivers look again (ns). */
const QUANTUM_NS = 10e6;

/** How long nothing may happen when this side waits for nothing but the other (ns). */
const PATIENCE_NS = 10e9;

/**
 * Asks foreign hardware when nothing is runnable: for interrupts; then everybody who polls looks again, for it may have stored
 * something; then time passes on both sides, no further than to this side's next timer. So a time-out never comes before the
 * hardware was asked.
 */
export class ForeignPoll {
  readonly kernel: Kernel;
  readonly side: ForeignTime;
  /** `looked`: the step after which everybody has looked; `waited`: ns that passed since then. */
  readonly state = { looked: -1, waited: 0 };

  constructor(kernel: Kernel, side: ForeignTime) {
    this.kernel = kernel;
    this.side = side;
    kernel.checkpoints.keep(this.state);
  }

  /** True if somebody is runnable now, or time passed. */
  poll(): boolean {
    return this.takeNews() || this.lookAgain() || this.letPass();
  }

  /** Interrupts; who polls looks again too. */
  takeNews(): boolean {
    if (!this.side.news()) return false;
    this.kernel.lookAgain();
    this.state.waited = 0;
    return true;
  }

  /** Once after whatever this side did: a register write may have made the hardware store something. */
  lookAgain(): boolean {
    const { kernel, state } = this;
    if (state.looked === kernel.steps) return false;
    state.looked = kernel.steps;
    state.waited = 0;
    return kernel.lookAgain();
  }

  /** Nobody waits for foreign hardware once everything here rests. */
  letPass(): boolean {
    const { clock, atRest } = this.kernel;
    if (atRest) return false;
    const due = clock.untilNext();
    if (due === 0) return false;
    const passed = this.side.pass(Math.min(QUANTUM_NS, due));
    if (passed === 0) return false;
    this.state.waited += passed;
    if (due === Number.POSITIVE_INFINITY && this.state.waited > PATIENCE_NS) return false;
    clock.pass(Math.min(passed, due));
    if (!this.takeNews()) this.kernel.lookAgain();
    return true;
  }
}
