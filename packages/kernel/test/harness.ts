import {
  type Chooser,
  DEFAULT_LIMITS,
  FairChooser,
  Kernel,
  type Limits,
  type Outcome,
  type Step,
  type Task,
} from '../src/index.js';

/** One run of what was spawned. */
export function go(kernel: Kernel, chooser: Chooser = new FairChooser(), limits: Partial<Limits> = {}): Outcome {
  kernel.begin(chooser, { ...DEFAULT_LIMITS, ...limits });
  return kernel.run();
}

/** How a run ended, in one line: `finished`, `INV-9: …`, `deadlock: a waits for b`. */
export function ending(outcome: Outcome): string {
  switch (outcome.end) {
    case 'violation':
      return `${outcome.violation.invariant}: ${outcome.violation.story}`;
    case 'limit':
      return `limit ${outcome.limit}`;
    case 'refused':
      return `refused: ${outcome.reason}`;
    case 'deadlock':
    case 'livelock':
      return `${outcome.end}: ${outcome.waits.map((w) => `${w.task} waits for ${w.for}${w.heldBy ? ` (${w.heldBy})` : ''}`).join('; ')}`;
    default:
      return outcome.end;
  }
}

/** Lets the named tasks go on in this order, one a choice; then fair. A name that is not runnable is an error. */
export class Script implements Chooser {
  readonly names: readonly string[];
  at = 0;

  constructor(...names: string[]) {
    this.names = names;
  }

  begin(): void {
    this.at = 0;
  }

  pick(_current: Task | null, ready: readonly Task[], _next: number, fair: Task): number {
    const name = this.names[this.at++];
    if (name === undefined) return ready.indexOf(fair);
    const index = ready.findIndex((task) => task.name === name);
    if (index < 0) throw new Error(`${name} is not runnable: ${ready.map((task) => task.name).join(', ')}`);
    return index;
  }
}

/**
 * Runs a small program under every schedule there is. `make` builds it in a fresh kernel and returns what to check at the
 * end.
 * @returns the number of schedules
 */
export function everySchedule(make: (kernel: Kernel) => (outcome: Outcome) => void, most = 20_000): number {
  const path: { index: number; width: number }[] = [];
  for (let runs = 1; runs <= most; runs++) {
    let depth = 0;
    const chooser: Chooser = {
      begin: () => {},
      pick: (_current, ready) => {
        if (depth === path.length) path.push({ index: 0, width: ready.length });
        return path[depth++]!.index;
      },
    };
    const kernel = new Kernel();
    const check = make(kernel);
    check(go(kernel, chooser));
    while (path.length > 0 && path.at(-1)!.index + 1 === path.at(-1)!.width) path.pop();
    if (path.length === 0) return runs;
    path.at(-1)!.index++;
  }
  throw new Error(`more than ${most} schedules`);
}

/** A preemption point that touches nothing anybody else touches. */
export function pause(kernel: Kernel): Step<void> {
  return kernel.point(1, true);
}

/** The mistake that a missing `yield*` is: makes a Step and drops it. */
export function forget(step: () => unknown): void {
  step();
}
