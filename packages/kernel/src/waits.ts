import type { TaskRecord } from './task.js';
import type { Wait } from './types.js';

/** Footprints of kernel objects lie above every bus address divided by 8. */
export const OBJECTS = 2 ** 50;

/** Every task that is not through, what it waits for, and who holds that. */
export function waitsOf(tasks: readonly TaskRecord[]): readonly Wait[] {
  return tasks
    .filter((task) => task.routine !== null)
    .map((task) => ({
      task: task.name,
      for: task.waitsFor ?? turnOf(task),
      heldBy: task.waitsOn?.owner?.name ?? null,
    }));
}

/** A runnable task waits for nothing; what it is about to look at tells which loop it is in. */
function turnOf({ next }: TaskRecord): string {
  if (next === 0) return 'its turn';
  return next > OBJECTS ? `its turn at kernel object ${next - OBJECTS}` : `its turn at 0x${(next * 8).toString(16)}`;
}
