import { removeAt } from './remove-at.js';
import type { TaskRecord } from './task.js';
import type { Footprint } from './types.js';

/** Tasks that are parked until somebody stores to a footprint: few at a time. */
export class Watchers {
  /** What each of {@link tasks} waits for. */
  readonly footprints: Footprint[] = [];
  readonly tasks: TaskRecord[] = [];

  /** 0 almost always, so that a store costs one comparison. */
  get size(): number {
    return this.tasks.length;
  }

  watch(what: Footprint, task: TaskRecord): void {
    if (this.find(what, task) >= 0) return;
    this.footprints.push(what);
    this.tasks.push(task);
  }

  /** A task that looks elsewhere now: a later store must not wake it. */
  unwatch(what: Footprint, task: TaskRecord): void {
    this.remove(this.find(what, task));
  }

  /** The first who waits for `what`, and from now on does not; null: nobody. */
  take(what: Footprint): TaskRecord | null {
    const at = this.footprints.indexOf(what);
    if (at < 0) return null;
    const task = this.tasks[at]!;
    this.remove(at);
    return task;
  }

  clear(): void {
    this.footprints.length = 0;
    this.tasks.length = 0;
  }

  find(what: Footprint, task: TaskRecord): number {
    for (let i = 0; i < this.tasks.length; i++) if (this.tasks[i] === task && this.footprints[i] === what) return i;
    return -1;
  }

  remove(at: number): void {
    if (at < 0) return;
    removeAt(this.footprints, at);
    removeAt(this.tasks, at);
  }
}
