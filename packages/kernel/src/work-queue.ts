import type { Kernel } from './kernel.js';
import type { Coroutine, Footprint, Task } from './types.js';
import { WaitQueue } from './wait-queue.js';

/** What a {@link WorkQueue} does. */
export interface WorkItem {
  run(): Coroutine<void>;
}

/** How a {@link WorkQueue} works. */
export interface WorkQueueOptions {
  /** True: one item at a time, in order. False: items run side by side on `workers` tasks. Default false. */
  readonly ordered?: boolean;
  /** Worker tasks of an unordered queue (default 2). */
  readonly workers?: number;
  /** The workers' name in reports and orders (default: the queue's name). */
  readonly workerName?: string;
}

/** Runs items in tasks of its own. */
export class WorkQueue {
  readonly kernel: Kernel;
  readonly name: string;
  readonly footprint: Footprint;
  readonly items: { readonly item: WorkItem; readonly sequence: number }[] = [];
  /** Sequence numbers of items that were queued and are not through. */
  readonly open = new Set<number>();
  readonly state = { sequence: 0 };
  readonly workers: { readonly task: Task; readonly busy: { with: boolean } }[] = [];
  readonly finished: WaitQueue;

  constructor(kernel: Kernel, name: string, options: WorkQueueOptions = {}) {
    this.kernel = kernel;
    this.name = name;
    this.footprint = kernel.footprint();
    this.finished = new WaitQueue(kernel, `work queued on ${name}`);
    kernel.checkpoints.keep(this.state);
    kernel.checkpoints.keepList(this.items);
    const count = options.ordered === true ? 1 : (options.workers ?? 2);
    const workerName = options.workerName ?? name;
    for (let i = 0; i < count; i++) this.addWorker(count === 1 ? workerName : `${workerName}/${i + 1}`);
    kernel.checkpoints.add({ save: () => () => this.open.clear() });
  }

  addWorker(name: string): void {
    const busy = this.kernel.checkpoints.keep({ with: false });
    this.workers.push({ task: this.kernel.daemon(name, () => this.work(busy)), busy });
  }

  /** Queues an item; a worker that is idle takes it. */
  queue(item: WorkItem): void {
    const sequence = this.state.sequence++;
    this.items.push({ item, sequence });
    this.open.add(sequence);
    this.kernel.touch(this.footprint, true);
    const idle = this.workers.find((worker) => !worker.busy.with);
    if (idle !== undefined) {
      idle.busy.with = true;
      this.kernel.kick(idle.task);
    }
  }

  /**
   * Waits until every item queued now is through. Neither cancels nor loses anything (IOPF-11).
   * Called from one of the queue's own items it would wait for itself: a violation (INV-10).
   */
  *flush(): Coroutine<void> {
    const task = this.kernel.self();
    if (this.workers.some((worker) => worker.task === task)) {
      this.kernel.violate('INV-10', `${task.name} flushes ${this.name}, which includes the work it is doing`);
    }
    let mine: number[] | null = null;
    yield* this.finished.wait(() => {
      mine ??= [...this.open];
      return mine.every((sequence) => !this.open.has(sequence));
    });
  }

  *work(busy: { with: boolean }): Coroutine<void> {
    for (;;) {
      yield* this.kernel.point(this.footprint, true);
      const next = this.items.shift();
      if (next === undefined) break;
      yield* next.item.run();
      this.open.delete(next.sequence);
      this.finished.wake();
    }
    busy.with = false;
  }
}
