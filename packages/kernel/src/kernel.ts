import { Checkpoints } from './checkpoint.js';
import { Clock } from './clock.js';
import { assert } from './errors.js';
import { ForeignPoll, type ForeignTime } from './foreign.js';
import { GracePeriods } from './grace-periods.js';
import { Injection } from './injection.js';
import { LockOrder } from './lock/lock-order.js';
import { NO_OBSERVER, type Observer } from './observer.js';
import { removeReady } from './ready-list.js';
import { Scheduler } from './scheduler.js';
import { type Slab, SlabRegistry } from './slab.js';
import { DoneStep, PendingStep } from './step.js';
import type { TaskRecord } from './task.js';
import { TlbBroadcast } from './tlb-broadcast.js';
import { Trace } from './trace/trace.js';
import {
  type Chooser,
  type Coroutine,
  DEFAULT_LIMITS,
  type Footprint,
  type Limits,
  PREEMPT,
  type Step,
} from './types.js';
import { OBJECTS } from './waits.js';
import { Watchers } from './watchers.js';

/**
 * Runs coroutine tasks under a chooser. One kernel is one machine's; several live in one process. Nothing in it is
 * nondeterministic but the chooser's choices, so a run is its list of choices.
 */
export class Kernel extends Scheduler {
  readonly clock: Clock;
  readonly rcu: GracePeriods;
  readonly trace: Trace;
  readonly slabs: SlabRegistry;
  readonly lockOrder: LockOrder;
  readonly injection: Injection;
  readonly checkpoints: Checkpoints;
  /** How CPUs tell one another and IOMMUs what to drop. */
  readonly tlbBroadcast: TlbBroadcast;
  /** Oracles; by default watches nothing. */
  observer: Observer = NO_OBSERVER;
  nextObject = 1;
  readonly polls: (() => boolean)[] = [];
  readonly doneStep = new DoneStep();
  /** Tasks parked until a footprint is stored to. */
  readonly watchers = new Watchers();

  constructor() {
    super();
    this.checkpoints = new Checkpoints(this);
    this.trace = new Trace(this);
    this.slabs = new SlabRegistry(this);
    this.lockOrder = new LockOrder(this);
    this.injection = new Injection(this);
    this.clock = new Clock(this);
    this.rcu = new GracePeriods(this);
    this.tlbBroadcast = new TlbBroadcast(this);
    this.checkpoints.keepList(this.polls);
  }

  /** A footprint of its own for a kernel object: a lock, a queue, a lane; or the first of `count` of them, for its fields. */
  footprint(count = 1): Footprint {
    const first = OBJECTS + this.nextObject;
    this.nextObject += count;
    return first;
  }

  /** Who is doing something, and when, for the stories that reports tell. */
  here(): string {
    return `${this.current?.name ?? 'none'} at step ${this.steps}`;
  }

  /** A further access in the same step as the last point, for reduction and oracles; a write wakes {@link until}. */
  touch(what: Footprint, write: boolean): void {
    if (this.listener !== null && this.current !== null) this.listener.access(this.current, what, write);
    if (write && this.watchers.size !== 0) this.stored(what);
  }

  /** A preemption point of its own, before an access that the caller makes next. */
  point(next: Footprint, write: boolean): Step<void> {
    return this.at(next, write) ? this.pending(nothing) : this.done(undefined);
  }

  /**
   * A preemption point with a name: `order:` constraints and mutants refer to `task.step`. The named access follows at
   * once, before the task's next point.
   */
  named(step: string, next: Footprint, write: boolean): Step<void> {
    const task = this.self();
    task.nextStep = step;
    if (this.at(next, write)) return this.pendingNamed(task, step);
    this.pass(task, step);
    return this.done(undefined);
  }

  pendingNamed(task: TaskRecord, step: string): Step<void> {
    return this.pending(() => this.pass(task, step));
  }

  pass(task: TaskRecord, step: string): void {
    task.nextStep = null;
    this.chooser.passed?.(task, step);
  }

  /** The finished Step that carries `value`. Shared: to be consumed at once. */
  done<T>(value: T): Step<T> {
    this.doneStep.result.value = value;
    return this.doneStep as unknown as Step<T>;
  }

  /** A Step for a caller whose {@link at} was true: yields, and performs the access when resumed. */
  pending<T>(perform: () => T): Step<T> {
    assert(this.mustYield, 'pending() follows an at() that was true');
    return new PendingStep(perform);
  }

  /** A violation (INV-10) if the caller is in atomic context: for what sleeps only sometimes. */
  mightSleep(why: string): void {
    const task = this.current;
    if (task !== null && task.atomic > 0) this.violate('INV-10', `${task.name} sleeps (${why}) in atomic context`);
  }

  /** Parks the current task until somebody wakes it. The caller looks at its condition again afterwards. */
  park(why: string, on: { readonly owner: TaskRecord | null } | null = null): Step<void> {
    this.mightSleep(why);
    return this.spin(why, on);
  }

  /** Parks in place of a busy loop, which atomic context allows. */
  spin(why: string, on: { readonly owner: TaskRecord | null } | null = null): Step<void> {
    const task = this.self();
    assert(!this.mustYield, 'a Step was not consumed: a yield* is missing');
    task.waitsFor = why;
    task.waitsOn = on;
    removeReady(this.ready, task);
    this.mustYield = true;
    return task.parkStep;
  }

  /**
   * Waits until `test` holds, looking again whenever `what` is stored to. Stands for a polling loop, so it is allowed in
   * atomic context; nobody really spins. `test` is called once a look.
   * @returns false if `limitNs` virtual nanoseconds passed first
   */
  until(what: Footprint, test: () => boolean, why: string, limitNs = Number.POSITIVE_INFINITY): Step<boolean> {
    const preempted = this.at(what, false);
    return !preempted && test() ? this.done(true) : this.poll(what, test, why, limitNs, preempted);
  }

  /** {@link until} where `test` did not hold at once, or was not called yet because the task is preempted. */
  *poll(what: Footprint, test: () => boolean, why: string, limitNs: number, preempted: boolean): Coroutine<boolean> {
    if (preempted) {
      yield PREEMPT;
      if (test()) return true;
    }
    const task = this.self();
    let late = false;
    const expire = (): void => {
      late = true;
      this.wake(task);
    };
    const timer = Number.isFinite(limitNs) ? this.clock.after(limitNs, expire) : null;
    let passed = false;
    while (!passed && !late) {
      this.watchers.watch(what, task);
      yield* this.spin(why);
      this.touch(what, false);
      passed = test();
    }
    this.watchers.unwatch(what, task);
    if (timer !== null) this.clock.cancel(timer);
    return passed;
  }

  /** Somebody stored to `what`: tasks waiting for it look again. */
  stored(what: Footprint): void {
    for (let task = this.watchers.take(what); task !== null; task = this.watchers.take(what)) this.wake(task);
  }

  /** Begins a run: choices, steps, allocations and limits count from here. */
  override begin(chooser: Chooser, limits: Limits = DEFAULT_LIMITS, tokenHash = '0'): void {
    this.injection.state.count = 0;
    this.clock.began = this.clock.now();
    super.begin(chooser, limits, tokenHash);
  }

  idle(): boolean {
    return this.polls.some((poll) => poll()) || this.clock.advance();
  }

  /** When nothing is runnable, foreign hardware may make something so: `poll` returns true if it did. */
  onIdle(poll: () => boolean): void {
    this.polls.push(poll);
  }

  /** Foreign hardware: asked whenever nothing is runnable, before time passes. */
  attach(side: ForeignTime): void {
    const foreign = new ForeignPoll(this, side);
    this.onIdle(() => foreign.poll());
  }

  /** Everybody who waits in {@link until} looks again, whatever for: somebody may have stored without a footprint. */
  lookAgain(): boolean {
    const { watchers } = this;
    const waiting = [...watchers.tasks];
    watchers.clear();
    for (const task of waiting) this.wake(task);
    return waiting.length > 0;
  }

  /** Declares a kind of kernel object; see {@link Slab}. */
  slab<T extends object>(name: string, fields: T): Slab<T> {
    return this.slabs.declare(name, fields);
  }
}

function nothing(): void {
  // The access is the caller's next statement.
}
