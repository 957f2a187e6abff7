import { removeAt } from './remove-at.js';
import type { TaskRecord } from './task.js';

/** Adds a task to a list of runnable ones, which ascends by id. */
export function addReady(ready: TaskRecord[], task: TaskRecord): void {
  task.ready = true;
  task.waitsFor = null;
  task.waitsOn = null;
  let i = ready.length;
  ready.push(task);
  while (i > 0 && ready[i - 1]!.id > task.id) {
    ready[i] = ready[i - 1]!;
    i--;
  }
  ready[i] = task;
}

/** Takes a task out of the list. */
export function removeReady(ready: TaskRecord[], task: TaskRecord): void {
  task.ready = false;
  removeAt(ready, ready.indexOf(task));
}
