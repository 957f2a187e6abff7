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
  /** By task id; 0 where none is drawn yet. */
  readonly weights: number[] = [];

  /** `run` numbers the runs of one seed: equal (seed, run) give equal choices. */
  constructor(seed: number, run = 0) {
    this.rng = new Rng(seed, run);
  }

  begin(): void {
    this.weights.length = 0;
  }

  weight(id: number): number {
    while (this.weights.length <= id) this.weights.push(0);
    if (this.weights[id] === 0) this.weights[id] = 2 ** (this.rng.unit() * SPAN_LOG2);
    return this.weights[id]!;
  }

  pick(_current: Task | null, ready: readonly Task[]): number {
    let total = 0;
    for (let i = 0; i < ready.length; i++) total += this.weight(ready[i]!.id);
    let mark = this.rng.unit() * total;
    for (let i = 0; i < ready.length; i++) {
      mark -= this.weight(ready[i]!.id);
      if (mark < 0) return i;
    }
    return ready.length - 1;
  }
}
