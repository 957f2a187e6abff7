import type { Kernel } from '../kernel.js';
import type { TaskRecord } from '../task.js';
import { type Coroutine, type Footprint, PREEMPT, type Step } from '../types.js';

/** A lock whose holder is in atomic context: it must not sleep. Nobody really spins: waiters park on the lock. */
export class Spinlock {
  readonly kernel: Kernel;
  readonly lockClass: string;
  readonly footprint: Footprint;
  owner: TaskRecord | null = null;
  readonly waiters: TaskRecord[] = [];

  constructor(kernel: Kernel, lockClass: string) {
    this.kernel = kernel;
    this.lockClass = lockClass;
    this.footprint = kernel.footprint();
    kernel.checkpoints.add(this);
  }

  /** At rest nobody holds a lock. */
  save(): () => void {
    return () => {
      this.owner = null;
      this.waiters.length = 0;
    };
  }

  /** Takes the lock; until {@link release} the task must not sleep (INV-10). */
  acquire(): Step<this> {
    const kernel = this.kernel;
    const task = kernel.self();
    kernel.lockOrder.acquiring(task, this.lockClass, false);
    const preempted = kernel.at(this.footprint, true);
    if (!preempted && this.owner === null) {
      this.take(task);
      return kernel.done(this as this);
    }
    return this.spin(task, preempted);
  }

  *spin(task: TaskRecord, preempted: boolean): Coroutine<this> {
    if (preempted) yield PREEMPT;
    if (this.owner !== null) {
      this.waiters.push(task);
      do yield* this.kernel.spin(`the ${this.lockClass} spinlock`, this);
      while (this.owner !== null);
      this.waiters.splice(this.waiters.indexOf(task), 1);
      this.kernel.touch(this.footprint, true);
    }
    this.take(task);
    return this;
  }

  take(task: TaskRecord): void {
    this.owner = task;
    task.atomic++;
    task.held.push(this);
  }

  /** Lets go, and leaves atomic context. */
  release(): void {
    const task = this.kernel.self();
    if (this.owner !== task) {
      this.kernel.violate(
        'INV-10',
        `${task.name} unlocks ${this.lockClass}, which ${this.owner?.name ?? 'nobody'} holds`,
      );
      return;
    }
    this.owner = null;
    task.atomic--;
    task.held.splice(task.held.lastIndexOf(this), 1);
    this.kernel.touch(this.footprint, true);
    if (this.waiters.length > 0) this.kernel.wake(this.waiters[0]!);
  }
}
