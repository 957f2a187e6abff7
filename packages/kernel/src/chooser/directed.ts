import type { Chooser, Footprint, Task } from '../types.js';

/** One named step of an order: which task, which step. */
export interface OrderedStep {
  /** The task's name; `fault-worker` also stands for `fault-worker/1`, `fault-worker/2` … */
  readonly task: string;
  readonly step: string;
}

/** `a < b < c`: each step is taken only after the one before it was taken once. */
export type Order = readonly OrderedStep[];

/** True for a chooser that follows orders, of any copy of this package. */
export function isDirected(chooser: Chooser): chooser is DirectedChooser {
  return chooser.directed === true;
}

/** The part of a task's name that an order refers to: `fault-worker/1` is a `fault-worker`. */
function role(task: Task): string {
  const slash = task.name.indexOf('/');
  return slash < 0 ? task.name : task.name.slice(0, slash);
}

/** Holds back a task whose next named step would break an order; otherwise fair. */
export class DirectedChooser implements Chooser {
  readonly directed = true;
  readonly orders: readonly Order[];
  /** For each order, how many of its steps were taken. */
  readonly taken: number[] = [];
  held: readonly Task[] = [];

  constructor(orders: readonly Order[]) {
    this.orders = orders;
  }

  begin(): void {
    this.taken.length = 0;
    for (let i = 0; i < this.orders.length; i++) this.taken.push(0);
  }

  pick(_current: Task | null, ready: readonly Task[], _next: Footprint, fair: Task): number {
    const first = ready.indexOf(fair);
    for (let i = 0; i < ready.length; i++) {
      const turn = (first + i) % ready.length;
      if (!this.holds(ready[turn]!)) return turn;
    }
    this.held = [...ready];
    return -1;
  }

  /** True if the task's next named step is not yet its turn in some order. */
  holds(task: Task): boolean {
    if (task.nextStep === null) return false;
    for (let i = 0; i < this.orders.length; i++) {
      const order = this.orders[i]!;
      const turn = this.taken[i]!;
      if (this.is(order[turn], task, task.nextStep)) continue;
      for (let later = turn + 1; later < order.length; later++)
        if (this.is(order[later], task, task.nextStep)) return true;
    }
    return false;
  }

  is(wanted: OrderedStep | undefined, task: Task, step: string): boolean {
    return wanted !== undefined && wanted.step === step && (wanted.task === task.name || wanted.task === role(task));
  }

  passed(task: Task, step: string): void {
    for (let i = 0; i < this.orders.length; i++) {
      if (this.is(this.orders[i]![this.taken[i]!], task, step)) this.taken[i]!++;
    }
  }

  refusal(): string {
    const waiting = this.held.map((task) => `${task.name} before ${task.nextStep ?? '?'}`).join(', ');
    return `the order cannot be met: ${waiting} must wait, and nothing else can run (${this.missing()})`;
  }

  /** Which steps of the orders were never taken; empty when all were. */
  missing(): string {
    return this.orders
      .flatMap((order, i) => order.slice(this.taken[i]))
      .map((wanted) => `${wanted.task}.${wanted.step} did not happen`)
      .join(', ');
  }
}
