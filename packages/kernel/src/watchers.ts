import type { TaskRecord } from './task.js';
import type { Footprint } from './types.js';

/** Tasks that are parked until somebody stores to a footprint. */
export class Watchers {
  readonly tasks = new Map<Footprint, TaskRecord[]>();

  /** Footprints that somebody waits for; 0 almost always, so that a store costs one comparison. */
  get size(): number {
    return this.tasks.size;
  }

  watch(what: Footprint, task: TaskRecord): void {
    const list = this.tasks.get(what);
    if (list === undefined) this.tasks.set(what, [task]);
    else if (!list.includes(task)) list.push(task);
  }

  /** A task that looks elsewhere now: a later store must not wake it. */
  unwatch(what: Footprint, task: TaskRecord): void {
    const list = this.tasks.get(what);
    if (list === undefined || !list.includes(task)) return;
    if (list.length === 1) this.tasks.delete(what);
    else list.splice(list.indexOf(task), 1);
  }

  /** Those who wait for `what`; from now on they do not. */
  take(what: Footprint): readonly TaskRecord[] {
    const list = this.tasks.get(what);
    if (list === undefined) return NOBODY;
    this.tasks.delete(what);
    return list;
  }

  clear(): void {
    this.tasks.clear();
  }
}

const NOBODY: readonly TaskRecord[] = [];
