/** What a task suspends with: {@link PREEMPT} or {@link PARK}. A small integer, never an object. */
export type Suspension = number;
/** The task stays runnable; the chooser picked another one to go on. */
export const PREEMPT: Suspension = 1;
/** The task waits until somebody wakes it. */
export const PARK: Suspension = 2;

/** A routine that may sleep. Composed with `yield*`, run by a {@link Kernel}. */
export type Coroutine<T> = Generator<Suspension, T, void>;

/**
 * One shared access. Only ever the operand of `yield*`, at once: when no switch was chosen the access is done already
 * and the Step is a shared finished iterable; otherwise the access happens when the task is resumed.
 */
export interface Step<T> extends Iterable<Suspension, T, void> {}

/**
 * What an access touches: a bus address divided by 8 (RAM words and MMIO registers alike), or a kernel object's number
 * from {@link Kernel.footprint}. Two accesses conflict when their footprints are equal and one of them writes.
 */
export type Footprint = number;

/** A setting of a run: what `--set key=value` gives. */
export type Setting = string | number | boolean;

/** One schedulable thing: an actor, which must end, or a daemon, which must come to rest. */
export interface Task {
  /** Unique within a run, ascending in order of creation. */
  readonly id: number;
  /** For people and for `order:` constraints. */
  readonly name: string;
  /** True for hardware, interrupt threads and workers: a run can finish while they are at rest. */
  readonly daemon: boolean;
  /** What the task will touch when it goes on; 0 where that is not known: a task that has not begun. */
  readonly next: Footprint;
  /** The named step the task is about to take, or null. */
  readonly nextStep: string | null;
}

/** Picks which task goes on: fair, directed, random, replay; exhaustive and PCT plug in here too. */
export interface Chooser {
  /** Called before the first choice of a run. */
  begin(): void;
  /**
   * The index in `ready` (ascending task ids, always two or more unless {@link directed}) of the task to go on.
   * `current` is the task at a preemption point, or null when the last one blocked or ended; `fair` is the task whose turn it
   * is: `current`, else the next id after the one that ran last. -1 refuses them all.
   */
  pick(current: Task | null, ready: readonly Task[], next: Footprint, fair: Task): number;
  /** True: always takes the fair choice. The kernel then does not ask, and counts only. */
  readonly fair?: boolean;
  /** True: the chooser is asked even with one runnable task, so that it may refuse. Such choices are no part of the token. */
  readonly directed?: boolean;
  /** A named step was taken. */
  passed?(task: Task, step: string): void;
  /** Choices that were planned and not made, when the run is over: more than 0 means that the plan was another run's. */
  unmade?(): number;
  /** Why {@link pick} refused, for the report. */
  refusal?(): string;
}

/** A broken invariant, with the place and the story. */
export interface Violation {
  /** `INV-1` … of the litmus catalogue. */
  readonly invariant: string;
  /** The task that was running. */
  readonly task: string;
  /** How many steps the run had taken. */
  readonly step: number;
  /** What happened, in words that name the objects. */
  readonly story: string;
}

/** One task that cannot go on, and why. */
export interface Wait {
  readonly task: string;
  readonly for: string;
  readonly heldBy: string | null;
}

/** How a run ended, and the token that reproduces it. */
export type Outcome = { readonly token: string; readonly steps: number } & (
  | { readonly end: 'finished' }
  | { readonly end: 'limit'; readonly limit: string }
  | { readonly end: 'violation'; readonly violation: Violation }
  | { readonly end: 'refused'; readonly reason: string }
  | { readonly end: 'deadlock' | 'livelock'; readonly waits: readonly Wait[] }
);

/** Named limits of a run. */
export interface Limits {
  /** Preemption points (dimensionless). */
  readonly steps: number;
  /** Virtual nanoseconds. */
  readonly ns: number;
  /** Consecutive points without a write, after which the run counts as a livelock. */
  readonly idleSteps: number;
}

/** Limits that fit every built-in scenario many times over. */
export const DEFAULT_LIMITS: Limits = { steps: 2_000_000, ns: 600e9, idleSteps: 100_000 };
