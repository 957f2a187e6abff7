import { assert } from './errors.js';
import type { Kernel } from './kernel.js';
import type { TaskRecord } from './task.js';
import type { Coroutine, Footprint, Task } from './types.js';

interface Callback {
  readonly run: () => void;
  /** Readers that were inside when the callback was queued and still are. */
  readonly readers: Set<TaskRecord>;
}

/**
 * RCU-like grace periods. A callback runs once every read section that existed when it was queued has ended, in a task of
 * its own, as late as the schedule likes.
 */
export class GracePeriods {
  readonly kernel: Kernel;
  readonly callbacks: Callback[] = [];
  readonly nesting = new Map<TaskRecord, number>();
  readonly task: Task;
  readonly footprint: Footprint;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.footprint = kernel.footprint();
    this.task = kernel.daemon('rcu', () => this.work());
    kernel.checkpoints.keepList(this.callbacks);
    kernel.checkpoints.keepMap(this.nesting);
  }

  /** Enters a read section: what was found stays until {@link readUnlock}. Sleeping inside is a violation (INV-10). */
  readLock(): void {
    const task = this.kernel.self();
    task.atomic++;
    this.nesting.set(task, (this.nesting.get(task) ?? 0) + 1);
  }

  /** Leaves a read section. */
  readUnlock(): void {
    const task = this.kernel.self();
    const depth = this.nesting.get(task);
    assert(depth !== undefined, 'readUnlock without readLock');
    task.atomic--;
    if (depth > 1) {
      this.nesting.set(task, depth - 1);
      return;
    }
    this.nesting.delete(task);
    for (const callback of this.callbacks) callback.readers.delete(task);
    this.kickIfDue();
  }

  /** Runs `callback` after a grace period. It must not sleep. */
  call(callback: () => void): void {
    this.callbacks.push({ run: callback, readers: new Set(this.nesting.keys()) });
    this.kickIfDue();
  }

  /** Waits for a grace period. */
  *synchronize(): Coroutine<void> {
    const task = this.kernel.self();
    let over = false;
    this.call(() => {
      over = true;
      this.kernel.wake(task);
    });
    while (!over) yield* this.kernel.park('a grace period');
  }

  /** Callbacks that have not run. */
  pending(): number {
    return this.callbacks.length;
  }

  kickIfDue(): void {
    if (this.due() >= 0) this.kernel.kick(this.task);
  }

  /** The first callback whose readers have all left, or -1. One that is due stays so. */
  due(): number {
    return this.callbacks.findIndex((callback) => callback.readers.size === 0);
  }

  *work(): Coroutine<void> {
    while (this.due() >= 0) {
      yield* this.kernel.named('grace-period', this.footprint, true);
      const [callback] = this.callbacks.splice(this.due(), 1);
      callback!.run();
    }
  }
}
