import type { Chooser, Task } from '../types.js';
import { Rng } from './rng.js';

/**
 * Weights span nine orders of magnitude: with equal ones, a long chain of steps would almost never finish before a short
 * one, and whole kinds of schedules would stay unseen.
 */
const SPAN_LOG2 = 30;

/**
 * The mean number of choices between two changes of weight is drawn for each run, up to this: a task that was held back
 * overtakes in the middle of another's work, not only before or after it.
 */
const MAX_CALM = 128;

/** Seeded random choice. Each run draws a weight for every task, picks by weight, and now and then draws one weight anew. */
export class RandomChooser implements Chooser {
  readonly rng: Rng;
  /** By task id; 0 where none is drawn yet. */
  readonly weights: number[] = [];
  /** The chance that a choice changes the weight of one of its tasks. */
  change = 0;

  /** `run` numbers the runs of one seed: equal (seed, run) give equal choices. */
  constructor(seed: number, run = 0) {
    this.rng = new Rng(seed, run);
  }

  begin(): void {
    this.weights.length = 0;
    this.change = 1 / (1 + this.rng.unit() * MAX_CALM);
  }

  weight(id: number): number {
    while (this.weights.length <= id) this.weights.push(0);
    if (this.weights[id] === 0) this.weights[id] = this.draw();
    return this.weights[id]!;
  }

  redraw(id: number): void {
    this.weight(id);
    this.weights[id] = this.draw();
  }

  draw(): number {
    return 2 ** (this.rng.unit() * SPAN_LOG2);
  }

  pick(_current: Task | null, ready: readonly Task[]): number {
    if (this.rng.unit() < this.change) this.redraw(ready[this.rng.below(ready.length)]!.id);
    let total = 0;
    for (let i = 0; i < ready.length; i++) total += this.weight(ready[i]!.id);
    let mark = this.rng.unit() * total;
    for (let i = 0; i < ready.length; i++) {
      mark -= this.weights[ready[i]!.id]!;
      if (mark < 0) return i;
    }
    return ready.length - 1;
  }
}
