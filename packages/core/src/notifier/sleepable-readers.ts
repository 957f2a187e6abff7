import type { Kernel } from '@iommukit/kernel';
import { type Coroutine, WaitQueue } from '@iommukit/kernel';

interface Waiting {
  readonly readers: Set<number>;
  readonly run: () => void;
}

/**
 * Read sections that may sleep, in which notifier callbacks run. Whoever unhooked something waits until every section
 * that existed then has ended.
 */
export class SleepableReaders {
  readonly kernel: Kernel;
  readonly readers = new Set<number>();
  readonly waiting: Waiting[] = [];
  readonly state = { next: 1 };
  readonly left: WaitQueue;

  /** `why` completes "waits for …" in reports. */
  constructor(kernel: Kernel, why: string) {
    this.kernel = kernel;
    this.left = new WaitQueue(kernel, why);
    kernel.checkpoints.keepList(this.waiting);
    kernel.checkpoints.keep(this.state);
    // At rest nobody reads.
    kernel.checkpoints.add({ save: () => () => this.readers.clear() });
  }

  /** Enters a section. @returns what {@link leave} wants */
  enter(): number {
    const token = this.state.next++;
    this.readers.add(token);
    return token;
  }

  /** Leaves a section. */
  leave(token: number): void {
    this.readers.delete(token);
    this.kernel.touch(this.left.footprint, true);
    this.left.wake();
    for (let i = this.waiting.length - 1; i >= 0; i--) {
      const { readers, run } = this.waiting[i]!;
      readers.delete(token);
      if (readers.size > 0) continue;
      this.waiting.splice(i, 1);
      this.kernel.rcu.call(run);
    }
  }

  /** Runs `run`, which must not sleep, in the grace-period task once every present section has ended. */
  call(run: () => void): void {
    if (this.readers.size === 0) this.kernel.rcu.call(run);
    else this.waiting.push({ readers: new Set(this.readers), run });
  }

  /** Waits until every present section has ended. */
  *synchronize(): Coroutine<void> {
    if (this.readers.size === 0) return;
    const present = [...this.readers];
    yield* this.left.wait(() => !present.some((token) => this.readers.has(token)));
  }
}
