import type { Kernel } from '../kernel.js';
import { removeAt } from '../remove-at.js';
import type { TaskRecord } from '../task.js';
import { type Coroutine, type Footprint, PREEMPT, type Step } from '../types.js';

/**
 * A lock with one owner: what a {@link Mutex} and a {@link Spinlock} share. The longest waiter is woken first; a task that
 * comes by before it runs may take the lock from under its nose, as in the kernel, and it waits on at its place.
 */
export abstract class ExclusiveLock {
  readonly kernel: Kernel;
  readonly lockClass: string;
  readonly footprint: Footprint;
  owner: TaskRecord | null = null;
  readonly waiters: TaskRecord[] = [];
  /** True if a taker may sleep, which is wrong in atomic context (INV-10). */
  abstract readonly sleeps: boolean;

  /** Locks of one class obey one order: name the class after what it protects. */
  constructor(kernel: Kernel, lockClass: string) {
    this.kernel = kernel;
    this.lockClass = lockClass;
    this.footprint = kernel.footprint();
    kernel.checkpoints.add(this);
  }

  /** Waits once for the owner to let go. */
  abstract pause(): Step<void>;

  /** At rest nobody holds a lock. */
  save(): () => void {
    return () => {
      this.owner = null;
      this.waiters.length = 0;
    };
  }

  /** Takes the lock, waiting while another task owns it: `const lock = yield* mutex.acquire()`. */
  acquire(): Step<this> {
    const kernel = this.kernel;
    const task = kernel.self();
    kernel.lockOrder.acquiring(task, this.lockClass, this.sleeps);
    const preempted = kernel.at(this.footprint, true);
    if (!preempted && this.owner === null) {
      this.take(task);
      return kernel.done(this as this);
    }
    return this.wait(task, preempted);
  }

  *wait(task: TaskRecord, preempted: boolean): Coroutine<this> {
    if (preempted) yield PREEMPT;
    if (this.owner !== null) {
      this.waiters.push(task);
      do yield* this.pause();
      while (this.owner !== null);
      removeAt(this.waiters, this.waiters.indexOf(task));
      this.kernel.touch(this.footprint, true);
    }
    this.take(task);
    return this;
  }

  take(task: TaskRecord): void {
    this.owner = task;
    task.held.push(this);
  }

  /** Lets go. No preemption point: the next one of this task comes before its next access. */
  release(): void {
    const task = this.kernel.self();
    if (this.owner === task) this.drop(task);
    else {
      const holder = this.owner?.name ?? 'nobody';
      this.kernel.violate('INV-10', `${task.name} unlocks ${this.lockClass}, which ${holder} holds`);
    }
  }

  drop(task: TaskRecord): void {
    this.owner = null;
    removeAt(task.held, task.held.lastIndexOf(this));
    this.kernel.touch(this.footprint, true);
    if (this.waiters.length > 0) this.kernel.wake(this.waiters[0]!);
  }
}
