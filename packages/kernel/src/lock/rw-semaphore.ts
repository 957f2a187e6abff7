import type { Kernel } from '../kernel.js';
import { removeAt } from '../remove-at.js';
import type { TaskRecord } from '../task.js';
import { type Coroutine, type Footprint, PREEMPT, type Step } from '../types.js';

/** One hold of a {@link RwSemaphore}; let go of by the task that took it. */
export interface RwHold {
  release(): void;
}

/**
 * A sleeping lock with many readers or one writer: the mmap lock. Fair as the kernel's: a waiting writer keeps later
 * readers out, so a task that takes it for read twice can hang, and is reported.
 */
export class RwSemaphore {
  readonly kernel: Kernel;
  readonly lockClass: string;
  readonly footprint: Footprint;
  writer: TaskRecord | null = null;
  readonly readers: TaskRecord[] = [];
  readonly waiters: { readonly task: TaskRecord; readonly write: boolean }[] = [];
  readonly readHold: RwHold & { readonly lockClass: string };
  readonly writeHold: RwHold & { readonly lockClass: string };

  constructor(kernel: Kernel, lockClass: string) {
    this.kernel = kernel;
    this.lockClass = lockClass;
    this.footprint = kernel.footprint();
    this.readHold = { lockClass, release: () => this.releaseRead() };
    this.writeHold = { lockClass, release: () => this.releaseWrite() };
    kernel.checkpoints.add(this);
  }

  /** At rest nobody holds a lock. */
  save(): () => void {
    return () => {
      this.writer = null;
      this.readers.length = 0;
      this.waiters.length = 0;
    };
  }

  /** Whom a waiter waits for. */
  get owner(): TaskRecord | null {
    return this.writer ?? this.readers[0] ?? null;
  }

  /** Takes the lock for read: `const hold = yield* mm.mmapLock.read()`. */
  read(): Step<RwHold> {
    return this.acquire(false);
  }

  /** Takes the lock for write. */
  write(): Step<RwHold> {
    return this.acquire(true);
  }

  acquire(write: boolean): Step<RwHold> {
    const kernel = this.kernel;
    const task = kernel.self();
    kernel.lockOrder.acquiring(task, this.lockClass, true);
    const preempted = kernel.at(this.footprint, true);
    if (!preempted && this.free(write)) return kernel.done(this.take(task, write));
    return this.wait(task, write, preempted);
  }

  *wait(task: TaskRecord, write: boolean, preempted: boolean): Coroutine<RwHold> {
    if (preempted) yield PREEMPT;
    if (!this.free(write)) {
      const entry = { task, write };
      this.waiters.push(entry);
      do yield* this.kernel.park(`the ${this.lockClass} lock for ${write ? 'write' : 'read'}`, this);
      while (!(this.waiters[0] === entry && this.open(write)));
      this.waiters.shift();
      this.kernel.touch(this.footprint, true);
      const hold = this.take(task, write);
      this.wakeFirst();
      return hold;
    }
    return this.take(task, write);
  }

  /** Nobody holds it in a way that excludes us. */
  open(write: boolean): boolean {
    return this.writer === null && (!write || this.readers.length === 0);
  }

  free(write: boolean): boolean {
    return this.open(write) && this.waiters.length === 0;
  }

  take(task: TaskRecord, write: boolean): RwHold {
    if (write) this.writer = task;
    else this.readers.push(task);
    const hold = write ? this.writeHold : this.readHold;
    task.held.push(hold);
    return hold;
  }

  releaseRead(): void {
    const task = this.kernel.self();
    const i = this.readers.indexOf(task);
    if (i < 0) return this.stranger(task);
    removeAt(this.readers, i);
    this.dropped(task, this.readHold);
  }

  releaseWrite(): void {
    const task = this.kernel.self();
    if (this.writer !== task) return this.stranger(task);
    this.writer = null;
    this.dropped(task, this.writeHold);
  }

  dropped(task: TaskRecord, hold: { readonly lockClass: string }): void {
    removeAt(task.held, task.held.lastIndexOf(hold));
    this.kernel.touch(this.footprint, true);
    this.wakeFirst();
  }

  wakeFirst(): void {
    const first = this.waiters[0];
    if (first !== undefined && this.open(first.write)) this.kernel.wake(first.task);
  }

  stranger(task: TaskRecord): void {
    this.kernel.violate('INV-10', `${task.name} unlocks ${this.lockClass}, which it does not hold`);
  }
}
