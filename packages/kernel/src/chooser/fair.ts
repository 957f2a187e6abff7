import type { Chooser, Footprint, Task } from '../types.js';

/**
 * The default: a task runs until it blocks, then the next id has its turn, and after the last the first. Whoever is runnable runs
 * sooner or later. Tokens name only choices that differ from this.
 */
export class FairChooser implements Chooser {
  readonly fair = true;

  begin(): void {
    // Nothing is kept between choices.
  }

  pick(_current: Task | null, ready: readonly Task[], _next: Footprint, fair: Task): number {
    return ready.indexOf(fair);
  }
}
