import type { Kernel } from '../kernel.js';
import type { TaskRecord } from '../task.js';

/**
 * The rules of locking (INV-10), checked when a rule is broken and not when it happens to hang: no inversion of the order
 * between two classes of locks, no recursion, no sleeping lock in atomic context, no unlock by a stranger.
 */
export class LockOrder {
  readonly kernel: Kernel;
  /** class → classes that were taken while it was held. */
  readonly after = new Map<string, Set<string>>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.keepMap(this.after);
  }

  /** `task` is about to take a lock. `sleeps`: the lock may park its taker. */
  acquiring(task: TaskRecord, lockClass: string, sleeps: boolean): void {
    if (sleeps && task.atomic > 0) {
      this.kernel.violate('INV-10', `${task.name} takes ${lockClass}, which may sleep, in atomic context`);
    }
    for (const held of task.held) {
      // Learned once, an order is sound: its opposite was never learned after it.
      if (this.after.get(held.lockClass)?.has(lockClass) === true) continue;
      if (held.lockClass === lockClass) {
        this.kernel.violate('INV-10', `${task.name} takes ${lockClass} while it holds it already`);
      } else if (this.reaches(lockClass, held.lockClass)) {
        this.kernel.violate(
          'INV-10',
          `${task.name} takes ${lockClass} while it holds ${held.lockClass}; elsewhere ${held.lockClass} is taken while ${lockClass} is held`,
        );
      } else this.learn(held.lockClass, lockClass);
    }
  }

  learn(outer: string, inner: string): void {
    // A fresh set each time: a checkpoint keeps the old one.
    this.after.set(outer, new Set(this.after.get(outer)).add(inner));
  }

  reaches(from: string, to: string, seen = new Set<string>()): boolean {
    if (seen.has(from)) return false;
    seen.add(from);
    const next = this.after.get(from);
    if (next === undefined) return false;
    return next.has(to) || [...next].some((via) => this.reaches(via, to, seen));
  }
}
