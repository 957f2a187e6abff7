import { PARK, PREEMPT, type Step, type Suspension } from './types.js';

type Result<T> = IteratorResult<Suspension, T>;

/** The shared Step of a kernel for accesses that are done already. Holds the value until `yield*` takes it, at once. */
export class DoneStep implements Step<never> {
  readonly result: { done: true; value: unknown } = { done: true, value: undefined };

  [Symbol.iterator](): Iterator<Suspension, never, void> {
    return this as unknown as Iterator<Suspension, never, void>;
  }

  next(): Result<unknown> {
    return this.result;
  }
}

const PREEMPTED: Result<never> = { done: false, value: PREEMPT };
const PARKED: Result<never> = { done: false, value: PARK };
const RESUMED: Result<void> = { done: true, value: undefined };

/** A Step whose access happens when the task is resumed. */
export class PendingStep<T> implements Step<T> {
  yielded = false;
  readonly perform: () => T;

  constructor(perform: () => T) {
    this.perform = perform;
  }

  [Symbol.iterator](): Iterator<Suspension, T, void> {
    return this;
  }

  next(): Result<T> {
    if (!this.yielded) {
      this.yielded = true;
      return PREEMPTED;
    }
    return { done: true, value: this.perform() };
  }
}

/** The Step with which a task parks: yields once, and is done when the task is resumed. One a task, used again and again. */
export class ParkStep implements Step<void> {
  yielded = false;

  [Symbol.iterator](): Iterator<Suspension, void, void> {
    this.yielded = false;
    return this;
  }

  next(): Result<void> {
    if (!this.yielded) {
      this.yielded = true;
      return PARKED;
    }
    return RESUMED;
  }
}
