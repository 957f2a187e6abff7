import type { Chooser, Task } from '../types.js';

/** The default: a task runs until it blocks, then the lowest id goes on. Tokens name only choices that differ from this. */
export class FairChooser implements Chooser {
  readonly fair = true;

  begin(): void {
    // Nothing is kept between choices.
  }

  pick(current: Task | null, ready: readonly Task[]): number {
    return fairPick(current, ready);
  }
}

/** The fair choice: `current` if there is one, else the lowest id. */
export function fairPick(current: Task | null, ready: readonly Task[]): number {
  return current === null ? 0 : ready.indexOf(current);
}
