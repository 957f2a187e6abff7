import { type Coroutine, type Footprint, type Kernel, PREEMPT, type Step, type Task } from '@iommukit/kernel';

/** One lane of a link: messages in order, whose head a task of the lane's own delivers. */
export class Lane<T> {
  readonly kernel: Kernel;
  readonly footprint: Footprint;
  readonly task: Task;
  readonly messages: T[] = [];
  /** The number of each message, counted over the lane's direction. */
  readonly numbers: number[] = [];
  /** The posted lane of the same direction, which this one never overtakes; null for a posted lane. */
  readonly posted: Lane<T> | null;
  /** The lane that waits for this one. */
  waiting: Lane<T> | null = null;
  readonly deliver: (message: T) => Step<void>;

  constructor(kernel: Kernel, name: string, posted: Lane<T> | null, deliver: (message: T) => Step<void>) {
    this.kernel = kernel;
    this.footprint = kernel.footprint();
    this.posted = posted;
    if (posted !== null) posted.waiting = this;
    this.deliver = deliver;
    this.task = kernel.daemon(name, () => this.work());
    kernel.checkpoints.keepList(this.messages);
    kernel.checkpoints.keepList(this.numbers);
  }

  push(message: T, number: number): void {
    this.messages.push(message);
    this.numbers.push(number);
    this.kernel.kick(this.task);
  }

  /** True: the head may be delivered now. A non-posted request or a completion waits for what was posted before it. */
  free(): boolean {
    if (this.messages.length === 0) return false;
    const { posted } = this;
    return posted === null || posted.messages.length === 0 || posted.numbers[0] > this.numbers[0];
  }

  clear(): void {
    this.messages.length = 0;
    this.numbers.length = 0;
  }

  *work(): Coroutine<void> {
    while (this.free()) {
      if (this.kernel.at(this.footprint, true)) yield PREEMPT;
      // Surprise removal may have come in between.
      if (this.messages.length === 0) return;
      // The message leaves the lane when it is delivered as a whole: until then nothing overtakes it.
      yield* this.deliver(this.messages[0]);
      this.messages.shift();
      this.numbers.shift();
      if (this.waiting !== null && this.waiting.messages.length !== 0) this.kernel.kick(this.waiting.task);
    }
  }
}
