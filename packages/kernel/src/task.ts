import { ParkStep } from './step.js';
import type { Coroutine, Footprint, Task } from './types.js';

/** A task as the kernel keeps it. */
export class TaskRecord implements Task {
  readonly id: number;
  readonly name: string;
  readonly daemon: boolean;
  readonly body: () => Coroutine<void>;
  /** The running body, or null: a daemon at rest, or a task that ended. */
  routine: Coroutine<void> | null = null;
  /** Runnable: in the kernel's ready list. */
  ready = false;
  /** The routine has not begun: whatever happens until then, it will see. */
  fresh = false;
  /** A daemon was kicked while its body ran, and runs once more. */
  again = false;
  ended = false;
  next: Footprint = 0;
  nextStep: string | null = null;
  /** The task was preempted before an access to {@link next}, which it makes when it is resumed. */
  due = false;
  /** That access is a write. */
  dueWrite = false;
  /** What the task is parked for, and whose doing it waits for. */
  waitsFor: string | null = null;
  waitsOn: { readonly owner: TaskRecord | null } | null = null;
  /** Depth of spinlocks and read sections held: a task in atomic context must not sleep (INV-10). */
  atomic = 0;
  /** Locks held, outermost first. */
  readonly held: { readonly lockClass: string }[] = [];
  readonly parkStep = new ParkStep();

  constructor(id: number, name: string, daemon: boolean, body: () => Coroutine<void>) {
    this.id = id;
    this.name = name;
    this.daemon = daemon;
    this.body = body;
  }

  /** Back to rest, as if the daemon had just run to its end. Whatever it was doing is dropped, never `return()`ed. */
  reset(): void {
    this.routine = null;
    this.ready = false;
    this.fresh = false;
    this.again = false;
    this.next = 0;
    this.nextStep = null;
    this.due = false;
    this.waitsFor = null;
    this.waitsOn = null;
    this.atomic = 0;
    if (this.held.length !== 0) this.held.length = 0;
  }
}
