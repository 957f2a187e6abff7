import { FairChooser } from './chooser/fair.js';
import { assert } from './errors.js';
import { addReady, removeReady } from './ready-list.js';
import { removeAt } from './remove-at.js';
import { TaskRecord } from './task.js';
import { encodeFlat } from './token.js';
import {
  type Chooser,
  type Coroutine,
  DEFAULT_LIMITS,
  type Footprint,
  type Limits,
  type Outcome,
  PARK,
  type Task,
  type Violation,
  type Wait,
} from './types.js';
import { waitsOf } from './waits.js';

/** How an {@link Outcome} came about, before the token is added. */
type Ending = Outcome extends infer O ? (O extends unknown ? Omit<O, 'token' | 'steps'> : never) : never;

/** Told of every shared access as it is made: exploration derives from it which steps are independent. */
export interface AccessListener {
  access(task: Task, what: Footprint, write: boolean): void;
}

/** Which task goes on: the tasks, the points at which the chooser is asked, and the run that they make. */
export abstract class Scheduler {
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
  /** The task that the last point chose to go on. */
  chosen: TaskRecord | null = null;
  /** Choices asked for in this run. */
  asked = 0;
  /** Points since the last write. */
  idleSteps = 0;
  /** The step at which the run stops: the limit, or at once when the run has ended. */
  stop = 0;
  /** The chooser takes the fair choice always, and is not asked. */
  fair = true;
  /** With so many runnable tasks the chooser is not asked. A directed one always is: it may refuse. */
  alone = 1;
  /** Choices that were not the fair one, for the token. */
  choices: number[] = [];
  nextTask = 1;
  /** The id of the task that ran last. */
  lastTask = 0;
  /** The current task was told to yield, or was parked, and has not yielded. */
  mustYield = false;
  /** What a task threw that nobody caught. */
  failure: unknown = null;

  /** Nothing is runnable: foreign hardware or time may change that. False: nothing will. */
  abstract idle(): boolean;

  /** Starts an actor: a task that must end for the run to finish. */
  spawn(name: string, body: () => Coroutine<void>): Task {
    const task = this.addTask(name, false, body);
    this.start(task);
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
    if (record.ended || record.ready) return;
    if (record.routine === null) this.start(record);
    else addReady(this.ready, record);
  }

  /**
   * Asks a daemon to run: doorbells, interrupts, messages. One that is at work, or parked inside its work, is not disturbed:
   * it runs once more when it is through.
   */
  kick(task: Task): void {
    const record = task as TaskRecord;
    if (record.routine === null) this.wake(record);
    else if (!record.fresh) record.again = true;
  }

  /** True for a daemon that waits for a {@link kick}. */
  resting(task: Task): boolean {
    return (task as TaskRecord).routine === null;
  }

  addTask(name: string, daemon: boolean, body: () => Coroutine<void>): TaskRecord {
    const task = new TaskRecord(this.nextTask++, name, daemon, body);
    this.tasks.push(task);
    return task;
  }

  start(task: TaskRecord): void {
    task.routine = task.body();
    task.fresh = true;
    task.next = 0;
    addReady(this.ready, task);
  }

  /** The running task. @throws an assertion outside one: only a task can do what takes time */
  self(): TaskRecord {
    assert(this.current !== null, 'this may sleep or hold something, so only a task may call it');
    return this.current;
  }

  /**
   * A preemption point before a shared access. True: another task goes on first, and the caller must `yield PREEMPT`
   * before it acts: `if (kernel.at(what, true)) yield PREEMPT;`
   */
  at(next: Footprint, write: boolean): boolean {
    assert(!this.mustYield, 'a Step was not consumed: a yield* is missing');
    const task = this.current;
    if (task === null) return false;
    this.idleSteps = write ? 0 : this.idleSteps + 1;
    task.next = next;
    if (++this.steps >= this.stop || this.idleSteps >= this.limits.idleSteps) return this.expire();
    if (this.ready.length > this.alone) {
      if (this.fair) this.asked++;
      else if (this.consult(task, next, write)) return true;
    }
    if (this.listener !== null) this.listener.access(task, next, write);
    return false;
  }

  /** Asks the chooser in place; true: the task must yield, and makes its access when it is resumed. */
  consult(task: TaskRecord, next: Footprint, write: boolean): boolean {
    const pick = this.choose(task, next);
    if (pick === task) return false;
    this.chosen = pick;
    this.mustYield = true;
    task.due = true;
    task.dueWrite = write;
    return true;
  }

  expire(): boolean {
    if (this.outcome === null) {
      if (this.steps >= this.stop) this.end({ end: 'limit', limit: `steps (${this.limits.steps})` });
      else this.end({ end: 'livelock', waits: this.waits() });
    }
    this.mustYield = true;
    return true;
  }

  /** Begins a run: choices, steps and limits count from here. */
  begin(chooser: Chooser, limits: Limits = DEFAULT_LIMITS, tokenHash = '0'): void {
    this.chooser = chooser;
    this.limits = limits;
    this.tokenHash = tokenHash;
    this.fair = chooser.fair === true;
    this.alone = chooser.directed === true ? 0 : 1;
    this.stop = limits.steps;
    this.outcome = null;
    this.chosen = null;
    this.mustYield = false;
    this.asked = 0;
    this.steps = 0;
    this.idleSteps = 0;
    this.choices = [];
    this.lastTask = 0;
    this.failure = null;
    chooser.begin();
  }

  /**
   * Runs until the run ends. Synchronous.
   * @throws whatever a task threw that is neither a violation nor handled: a defect of the task's code
   */
  run(): Outcome {
    while (this.outcome === null) {
      if (this.ready.length === 0) {
        if (!this.idle()) this.conclude();
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
    if (ready.length <= this.alone) return ready[0]!;
    const fair = current ?? this.nextInTurn();
    const pick = this.fair ? ready.indexOf(fair) : this.chooser.pick(current, ready, next, fair);
    if (pick < 0) {
      this.end({ end: 'refused', reason: this.chooser.refusal?.() ?? 'the chooser refused' });
      return null;
    }
    assert(pick < ready.length, 'a chooser picks one of the runnable tasks');
    const task = ready[pick]!;
    if (ready.length > 1) {
      if (task !== fair) this.choices.push(this.asked, pick);
      this.asked++;
    }
    return task;
  }

  /** Whose turn it is when a task blocked: the next id, so that nobody is passed over for ever. */
  nextInTurn(): TaskRecord {
    const { ready, lastTask } = this;
    for (let i = 0; i < ready.length; i++) if (ready[i]!.id > lastTask) return ready[i]!;
    return ready[0]!;
  }

  resume(task: TaskRecord): void {
    this.current = task;
    this.lastTask = task.id;
    this.mustYield = false;
    task.fresh = false;
    if (task.due) this.makeDue(task);
    try {
      const result = task.routine!.next();
      if (result.done === true) this.finish(task);
      else
        assert(
          this.mustYield && task.ready === (result.value !== PARK),
          'a task yields what at() or park() told it to',
        );
    } catch (error) {
      if (this.outcome === null) {
        this.failure = error;
        this.violate('uncaught', `${task.name} threw ${error instanceof Error ? error.message : String(error)}`);
      }
    } finally {
      this.current = null;
    }
  }

  /** The access before which the task was preempted comes next. */
  makeDue(task: TaskRecord): void {
    task.due = false;
    if (this.listener !== null) this.listener.access(task, task.next, task.dueWrite);
  }

  finish(task: TaskRecord): void {
    assert(!this.mustYield, 'a Step was not consumed: a yield* is missing');
    if (task.held.length > 0) {
      this.violate('INV-10', `${task.name} ended holding ${task.held.map((lock) => lock.lockClass).join(', ')}`);
    } else if (task.atomic > 0) this.violate('INV-10', `${task.name} ended inside a read section`);
    removeReady(this.ready, task);
    task.routine = null;
    if (task.daemon) {
      if (task.again) this.start(task);
      task.again = false;
      return;
    }
    task.ended = true;
    removeAt(this.tasks, this.tasks.indexOf(task));
  }

  /** Nothing will move any more: either everybody is through, or somebody never will be. */
  conclude(): void {
    const waits = this.waits();
    if (waits.length === 0) this.end({ end: 'finished' });
    else this.end({ end: 'deadlock', waits });
  }

  /** Every task that is not through, what it waits for, and who holds that. */
  waits(): readonly Wait[] {
    return waitsOf(this.tasks);
  }

  end(ending: Ending): void {
    if (this.outcome !== null) return;
    const { tokenHash, choices, steps } = this;
    // Of a hundred thousand runs few tokens are looked at.
    this.outcome = {
      ...ending,
      steps,
      get token() {
        return encodeFlat(tokenHash, choices);
      },
    } as Outcome;
    this.stop = 0;
  }

  /** Records a broken invariant. The run ends after the current step; nothing is thrown through tasks. */
  violate(invariant: string, story: string): void {
    const violation: Violation = { invariant, task: this.current?.name ?? 'none', step: this.steps, story };
    this.end({ end: 'violation', violation });
  }

  /** True when every daemon rests and no actor is left. */
  get atRest(): boolean {
    return this.tasks.every((task) => task.daemon && task.routine === null);
  }
}
