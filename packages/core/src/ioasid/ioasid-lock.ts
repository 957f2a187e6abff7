import { assert, type Coroutine, type Footprint, type Kernel, Spinlock, type Step } from '@iommukit/kernel';

/**
 * The one lock of the allocator: it orders changes of numbers, of custom allocators and of listeners. Lookups take none
 * (IOASID-15). Sections contain no preemption point, so nobody is ever found holding it: they touch the table alone, which
 * nobody looks at outside a section but lookups, and those see a record whole or not at all. Splitting a section would add
 * schedules, and none that ends differently.
 */
export class IoasidLock {
  readonly kernel: Kernel;
  readonly spinlock: Spinlock;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.spinlock = new Spinlock(kernel, 'ioasid');
  }

  get footprint(): Footprint {
    return this.spinlock.footprint;
  }

  /** A preemption point before a section that is one step: `yield* lock.turn(); ioasid.put(id);` */
  turn(): Step<void> {
    return this.kernel.point(this.footprint, true);
  }

  /** Begins a section that is one step, part of the caller's last point. Before the first task there is nobody to exclude. */
  enter(): void {
    const task = this.kernel.current;
    if (task === null) return;
    this.checkContext();
    this.kernel.lockOrder.acquiring(task, this.spinlock.lockClass, false);
    assert(this.spinlock.owner === null || this.spinlock.owner === task, 'sections of this lock are one step each');
    this.kernel.touch(this.footprint, true);
    this.spinlock.take(task);
  }

  leave(): void {
    if (this.kernel.current !== null) this.spinlock.release();
  }

  /** Begins a section with a preemption point before it; ends with {@link leave}. */
  *acquire(): Coroutine<void> {
    this.checkContext();
    yield* this.spinlock.acquire();
  }

  /** The lock is taken with grace-period callbacks enabled: one that wanted it would wait for the task it interrupted. */
  checkContext(): void {
    const { kernel } = this;
    if (kernel.current !== kernel.rcu.task) return;
    kernel.violate('INV-10', 'a grace-period callback takes the ioasid lock, which tasks hold with callbacks enabled');
  }
}
