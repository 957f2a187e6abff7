import type { Kernel } from './kernel.js';
import { removeAt } from './remove-at.js';
import type { TaskRecord } from './task.js';
import { type Coroutine, type Footprint, PREEMPT } from './types.js';

/** Tasks that wait until a condition holds; whoever changes the condition wakes them. */
export class WaitQueue {
  readonly kernel: Kernel;
  readonly why: string;
  readonly footprint: Footprint;
  readonly sleepers: TaskRecord[] = [];

  /** `why` completes "waits for …" in reports. */
  constructor(kernel: Kernel, why: string) {
    this.kernel = kernel;
    this.why = why;
    this.footprint = kernel.footprint();
    kernel.checkpoints.keepList(this.sleepers);
  }

  /** Waits until `test` holds. */
  *wait(test: () => boolean): Coroutine<void> {
    if (this.kernel.at(this.footprint, false)) yield PREEMPT;
    const task = this.kernel.self();
    while (!test()) {
      this.sleepers.push(task);
      yield* this.kernel.park(this.why);
      this.forget(task);
      this.kernel.touch(this.footprint, false);
    }
  }

  /** Somebody else woke the sleeper: a later {@link wake} is not meant for it. */
  forget(task: TaskRecord): void {
    const i = this.sleepers.indexOf(task);
    if (i >= 0) removeAt(this.sleepers, i);
  }

  /** Everybody looks at the condition again. */
  wake(): void {
    this.kernel.touch(this.footprint, true);
    for (const task of this.sleepers) this.kernel.wake(task);
    this.sleepers.length = 0;
  }
}
