import type { Coroutine } from '@iommukit/kernel';
import type { MmuNotifierOps, Subscription } from '../src/index.js';

/** A secondary MMU that writes down what it is told. */
export class Listener implements MmuNotifierOps {
  readonly log: string[];
  freed = 0;

  constructor(log: string[] = []) {
    this.log = log;
  }

  *release({ mm }: Subscription): Coroutine<void> {
    this.log.push(`release ${mm.space}`);
  }

  *invalidateRange({ mm }: Subscription, start: bigint, end: bigint): Coroutine<void> {
    this.log.push(`invalidate ${mm.space} [0x${start.toString(16)}, 0x${end.toString(16)})`);
  }

  free(): void {
    this.freed++;
  }

  /** For `get`: attaches nothing. */
  readonly make = function* (): Coroutine<void> {};
}
