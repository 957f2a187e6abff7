import type { Kernel } from '../kernel.js';
import type { TaskRecord } from '../task.js';
import type { Step } from '../types.js';
import { ExclusiveLock } from './exclusive-lock.js';

/** A lock whose holder is in atomic context: it must not sleep (INV-10). Nobody really spins: waiters park on the lock. */
export class Spinlock extends ExclusiveLock {
  readonly sleeps: boolean;

  /** Locks of one class obey one order: name the class after what it protects. */
  constructor(kernel: Kernel, lockClass: string) {
    super(kernel, lockClass);
    this.sleeps = false;
  }

  pause(): Step<void> {
    return this.kernel.spin(`the ${this.lockClass} spinlock`, this);
  }

  override take(task: TaskRecord): void {
    super.take(task);
    task.atomic++;
  }

  override drop(task: TaskRecord): void {
    task.atomic--;
    super.drop(task);
  }
}
