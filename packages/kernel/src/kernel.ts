import { FairChooser, fairPick } from './chooser/fair.js';
import { Checkpoints } from './checkpoint.js';
import { Clock } from './clock.js';
import { assert } from './errors.js';
import { GracePeriods } from './grace-periods.js';
import { LockOrder } from './lock/lock-order.js';
import { Injection } from './injection.js';
import { NO_OBSERVER, type Observer } from './observer.js';
import { SlabRegistry, type Slab } from './slab.js';
import { DoneStep, PendingStep } from './step.js';
import { TaskRecord } from './task.js';
import { encodeToken } from './token.js';
import { Trace } from './trace/trace.js';
import {
  type Chooser,
  type Coroutine,
  DEFAULT_LIMITS,
  type Footprint,
  type Limits,
  type Outcome,
  PARK,
  type Step,
  type Task,
  type Violation,
  type Wait,
} from './types.js';

/** Footprints of kernel objects lie above every bus address divided by 8. */
const OBJECTS = 2 ** 50;

/** How an {@link Outcome} came about, before the token is added. */
type Ending = Outcome extends infer O ? (O extends unknown ? Omit<O, 'token' | 'steps'> : never) : never;

/** Told of every shared access: exploration derives from it which steps are independent. */
export interface AccessListener {
  access(task: Task, what: Footprint, write: boolean): void;
}

/**
 * Runs coroutine tasks under a chooser. One kernel is one machine's; several live in one process. Nothing in it is
 * nondeterministic but the chooser's choices, so a run is its list of choices.
 */
export class Kernel {
  readonly clock: Clock;
  readonly rcu: GracePeriods;
  readonly trace: Trace;
  readonly slabs: SlabRegistry;
  readonly lockOrder: LockOrder;
  readonly injection: Injection;
  readonly checkpoints: Checkpoints;
  /** Oracles; by default watches nothing. */
  observer: Observer = NO_OBSERVER;
  /** Told of every shared access, or null. */
  listener: AccessListener | null = null;

  /** Every task that was spawned and has not been forgotten; daemons stay. */
  readonly tasks: TaskRecord[] = [];
  /** Runnable tasks, ascending ids; the running one is among them. */
  readonly ready: TaskRecord[] = [];
  current: TaskRecord | null = null;
  /** Points passed in this run. */
  steps = 0;

  chooser: Chooser = new FairChooser();
  limits: Limits = DEFAULT_LIMITS;
  tokenHash = '0';
  outcome: Outcome | null = null;
  chosen: TaskRecord | null = null;
  asked = 0;
  idleSteps = 0;
  choices: [number, number][] = [];
  nextTask = 1;
  nextObject = 1;
  readonly polls: (() => boolean)[] = [];
  readonly doneStep = new DoneStep();
  unconsumed = false;
  readonly consumed = (): void => {
    this.unconsumed = false;
  };
  /** Tasks parked until a footprint is stored to. */
  readonly watchers = new Map<Footprint, TaskRecord[]>();
  failure: unknown = null;

  constructor() {
    this.checkpoints = new Checkpoints(this);
    this.trace = new Trace(this);
    this.slabs = new SlabRegistry(this);
    this.lockOrder = new LockOrder(this);
    this.injection = new Injection(this);
    this.clock = new Clock(this);
    this.rcu = new GracePeriods(this);
  }

  // ── tasks ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Starts an actor: a task that must end for the run to finish. */
  spawn(name: string, body: () => Coroutine<void>): Task {
    const task = this.addTask(name, false, body);
    task.routine = body();
    this.makeReady(task);
    return task;
  }

  /**
   * Adds a daemon at rest. Each {@link kick} runs `work` from its top to its end; a kick while it runs makes it run once
   * more. It keeps nothing between two runs of `work`, so that a machine whose daemons rest can be checkpointed.
   */
  daemon(name: string, work: () => Coroutine<void>): Task {
    return this.addTask(name, true, work);
  }

  /** Makes a parked task runnable, or starts a daemon at rest. Waking a runnable task has no effect. */
  wake(task: Task): void {
    const record = task as TaskRecord;
    if (record.ended) return;
    if (record.ready) return;
    if (record.routine === null) record.routine = record.body();
    this.makeReady(record);
  }

  /**
   * Asks a daemon to run: doorbells, interrupts, messages. One that is at work, or parked inside its work, is not disturbed:
   * it runs once more when it is through.
   */
  kick(task: Task): void {
    const record = task as TaskRecord;
    if (record.routine === null) this.wake(record);
    else record.again = true;
  }

  addTask(name: string, daemon: boolean, body: () => Coroutine<void>): TaskRecord {
    const task = new TaskRecord(this.nextTask++, name, daemon, body);
    this.tasks.push(task);
    return task;
  }

  makeReady(task: TaskRecord): void {
    task.ready = true;
    task.waitsFor = null;
    task.waitsOn = null;
    const ready = this.ready;
    let i = ready.length;
    ready.push(task);
    while (i > 0 && ready[i - 1]!.id > task.id) {
      ready[i] = ready[i - 1]!;
      i--;
    }
    ready[i] = task;
  }

  unready(task: TaskRecord): void {
    task.ready = false;
    this.ready.splice(this.ready.indexOf(task), 1);
  }

  // ── preemption points ──────────────────────────────────────────────────────────────────────────────────────────

  /** A footprint of its own for a kernel object: a lock, a queue, a lane. */
  footprint(): Footprint {
    return OBJECTS + this.nextObject++;
  }

  /**
   * A preemption point before a shared access. True: another task goes on first, and the caller must `yield PREEMPT`
   * before it acts: `if (kernel.at(what, true)) yield PREEMPT;`
   */
  at(next: Footprint, write: boolean): boolean {
    assert(!this.unconsumed, 'a Step was not consumed: a yield* is missing');
    const task = this.current;
    if (task === null) return false;
    this.steps++;
    if (write) this.idleSteps = 0;
    else this.idleSteps++;
    if (this.listener !== null) this.listener.access(task, next, write);
    if (this.steps >= this.limits.steps || this.idleSteps >= this.limits.idleSteps) return this.expire();
    if (this.ready.length === 1) return false;
    task.next = next;
    return this.consult(task, next);
  }

  consult(task: TaskRecord, next: Footprint): boolean {
    const pick = this.choose(task, next);
    if (pick === task) return false;
    this.chosen = pick;
    return true;
  }

  expire(): boolean {
    if (this.outcome === null) {
      if (this.idleSteps >= this.limits.idleSteps) this.end({ end: 'livelock', waits: this.waits() });
      else this.end({ end: 'limit', limit: `steps (${this.limits.steps})` });
    }
    return true;
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
    const task = this.current!;
    task.nextStep = step;
    const away = this.at(next, write) || (this.chooser.directed === true && this.ready.length === 1 && this.consult(task, next));
    if (!away) {
      this.pass(task, step);
      return this.done(undefined);
    }
    return this.pendingNamed(task, step);
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
    this.unconsumed = true;
    return new PendingStep(perform, this.consumed);
  }

  /** Parks the current task until somebody wakes it. The caller looks at its condition again afterwards. */
  park(why: string, on: { readonly owner: TaskRecord | null } | null = null): Step<void> {
    const task = this.current!;
    if (task.atomic > 0) this.violate('INV-10', `${task.name} sleeps (${why}) in atomic context`);
    task.waitsFor = why;
    task.waitsOn = on;
    this.unready(task);
    return task.parkStep;
  }

  /** Parks in place of a busy loop, which atomic context allows. */
  spin(why: string, on: { readonly owner: TaskRecord | null } | null = null): Step<void> {
    const task = this.current!;
    const { atomic } = task;
    task.atomic = 0;
    const parked = this.park(why, on);
    task.atomic = atomic;
    return parked;
  }

  /**
   * Waits until `test` holds, looking again whenever `what` is stored to. Stands for a polling loop, so it is allowed in
   * atomic context; nobody really spins.
   * @returns false if `limitNs` virtual nanoseconds passed first
   */
  *until(what: Footprint, test: () => boolean, why: string, limitNs = Number.POSITIVE_INFINITY): Coroutine<boolean> {
    yield* this.point(what, false);
    if (test()) return true;
    const task = this.current!;
    let late = false;
    const timer = Number.isFinite(limitNs)
      ? this.clock.after(limitNs, () => {
          late = true;
          this.wake(task);
        })
      : null;
    while (!test() && !late) {
      this.watch(what, task);
      yield* this.spin(why);
    }
    if (timer !== null) this.clock.cancel(timer);
    return !late || test();
  }

  watch(what: Footprint, task: TaskRecord): void {
    const list = this.watchers.get(what);
    if (list === undefined) this.watchers.set(what, [task]);
    else if (!list.includes(task)) list.push(task);
  }

  /** Somebody stored to `what`: tasks waiting for it look again. */
  stored(what: Footprint): void {
    const list = this.watchers.get(what);
    if (list === undefined) return;
    this.watchers.delete(what);
    for (const task of list) this.wake(task);
  }

  // ── a run ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Begins a run: choices, steps and limits count from here. */
  begin(chooser: Chooser, limits: Limits = DEFAULT_LIMITS, tokenHash = '0'): void {
    this.chooser = chooser;
    this.limits = limits;
    this.tokenHash = tokenHash;
    this.outcome = null;
    this.chosen = null;
    this.asked = 0;
    this.steps = 0;
    this.idleSteps = 0;
    this.choices = [];
    this.failure = null;
    this.clock.began = this.clock.now();
    chooser.begin();
  }

  /**
   * Runs until the run ends. Synchronous.
   * @throws whatever a task threw that is neither a violation nor handled: a defect of the task's code
   */
  run(): Outcome {
    while (this.outcome === null) {
      if (this.ready.length === 0) {
        if (this.polls.some((poll) => poll()) || this.clock.advance()) continue;
        this.settle();
        continue;
      }
      const task = this.chosen ?? this.choose(null, 0);
      this.chosen = null;
      if (task !== null) this.resume(task);
    }
    if (this.failure !== null) throw this.failure;
    return this.outcome;
  }

  choose(current: TaskRecord | null, next: Footprint): TaskRecord | null {
    const ready = this.ready;
    if (ready.length === 1 && current === null && this.chooser.directed !== true) return ready[0]!;
    const pick = this.chooser.pick(current, ready, next);
    if (pick < 0) {
      this.end({ end: 'refused', reason: this.chooser.refusal?.() ?? 'the chooser refused' });
      return null;
    }
    if (ready.length > 1) {
      if (pick !== fairPick(current, ready)) this.choices.push([this.asked, pick]);
      this.asked++;
    }
    return ready[pick]!;
  }

  resume(task: TaskRecord): void {
    this.current = task;
    try {
      const result = task.routine!.next();
      if (result.done === true) this.finish(task);
      else if (result.value === PARK) assert(!task.ready || task.waitsFor === null, 'PARK is yielded only through park()');
    } catch (error) {
      if (this.outcome === null) {
        this.failure = error;
        this.violate('uncaught', `${task.name} threw ${error instanceof Error ? error.message : String(error)}`);
      }
    } finally {
      this.current = null;
    }
  }

  finish(task: TaskRecord): void {
    if (task.held.length > 0) {
      this.violate('INV-10', `${task.name} ended holding ${task.held.map((lock) => lock.lockClass).join(', ')}`);
    }
    this.unready(task);
    task.routine = null;
    if (task.daemon) {
      if (!task.again) return;
      task.again = false;
      this.wake(task);
      return;
    }
    task.ended = true;
    this.tasks.splice(this.tasks.indexOf(task), 1);
  }

  settle(): void {
    const waits = this.waits();
    if (waits.length === 0) this.end({ end: 'finished' });
    else this.end({ end: 'deadlock', waits });
  }

  /** Every task that is not through, what it waits for, and who holds that. */
  waits(): readonly Wait[] {
    return this.tasks
      .filter((task) => task.routine !== null)
      .map((task) => ({
        task: task.name,
        for: task.waitsFor ?? 'its turn',
        heldBy: task.waitsOn?.owner?.name ?? null,
      }));
  }

  end(ending: Ending): void {
    if (this.outcome !== null) return;
    this.outcome = { ...ending, token: encodeToken(this.tokenHash, this.choices), steps: this.steps } as Outcome;
  }

  /** Records a broken invariant. The run ends after the current step; nothing is thrown through tasks. */
  violate(invariant: string, story: string): void {
    const violation: Violation = { invariant, task: this.current?.name ?? 'none', step: this.steps, story };
    this.end({ end: 'violation', violation });
  }

  /** When nothing is runnable, foreign hardware may make something so: `poll` returns true if it did. */
  onIdle(poll: () => boolean): void {
    this.polls.push(poll);
  }

  /** True when every daemon rests and no actor is left. */
  get atRest(): boolean {
    return this.tasks.every((task) => task.daemon && task.routine === null);
  }

  /** Declares a kind of kernel object; see {@link Slab}. */
  slab<T extends object>(name: string, fields: T): Slab<T> {
    return this.slabs.declare(name, fields);
  }
}

function nothing(): void {
  // The access is the caller's next statement.
}
