import type { Chooser, Task } from '../types.js';
import { Rng } from './rng.js';

/**
 * Weights span three orders of magnitude: with equal ones, a long chain of steps would almost never finish before a
 * short one, and whole kinds of schedules would stay unseen.
 */
const SPAN_LOG2 = 10;

/** Seeded random choice. Each run draws a weight for every task, then picks by weight at each point. */
export class RandomChooser implements Chooser {
  readonly rng: Rng;
  readonly weights = new Map<number, number>();

  /** `run` numbers the runs of one seed: equal (seed, run) give equal choices. */
  constructor(seed: number, run = 0) {
    this.rng = new Rng(seed, run);
  }

  begin(): void {
    this.weights.clear();
  }

  weight(task: Task): number {
    let weight = this.weights.get(task.id);
    if (weight === undefined) {
      weight = 2 ** (this.rng.unit() * SPAN_LOG2);
      this.weights.set(task.id, weight);
    }
    return weight;
  }

  pick(_current: Task | null, ready: readonly Task[]): number {
    let total = 0;
    for (let i = 0; i < ready.length; i++) total += this.weight(ready[i]!);
    let mark = this.rng.unit() * total;
    for (let i = 0; i < ready.length; i++) {
      mark -= this.weight(ready[i]!);
      if (mark < 0) return i;
    }
    return ready.length - 1;
  }
}
