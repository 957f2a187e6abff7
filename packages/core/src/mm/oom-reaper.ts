import type { Coroutine } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { newGather } from './gather.js';
import type { Mm } from './mm.js';
import { isCopyOnWrite, type Vma } from './vma.js';

/** How often a skipped area is tried again, and how long it waits in between. */
const TRIES = 10;
const PAUSE_NS = 100e6;

/** Takes an OOM victim's memory before it exits (MM-14). */
export class OomReaper {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** See {@link MmService.oomReap}. */
  *reap(mm: Mm): Coroutine<boolean> {
    if (!(yield* this.core.mms.getNotZero(mm))) return false;
    let left = true;
    for (let i = 0; i < TRIES && left; i++) {
      if (i > 0) yield* this.core.kernel.clock.sleep(PAUSE_NS);
      left = !(yield* this.reapOnce(mm));
    }
    yield* this.core.mms.put(mm);
    return !left;
  }

  /** False: an area was skipped, whose listener would have to sleep. */
  *reapOnce(mm: Mm): Coroutine<boolean> {
    const lock = yield* mm.mmapLock.read();
    this.markUnstable(mm);
    let all = true;
    for (const vma of mm.vmas) {
      if (isCopyOnWrite(vma) && !(yield* this.reapVma(mm, vma))) all = false;
    }
    lock.release();
    return all;
  }

  /** First of all: nothing that goes may come back as zeros. */
  markUnstable(mm: Mm): void {
    mm.unstable = true;
  }

  *reapVma(mm: Mm, vma: Vma): Coroutine<boolean> {
    const { first, end } = vma;
    const { mappings } = this.core;
    const gather = newGather();
    if (!(yield* mappings.rangeStart(mm, first, end, false))) return false;
    yield* mappings.clear(mm, vma, vma, gather);
    yield* mappings.rangeEnd(mm, first, end);
    yield* mappings.finishGather(mm, gather);
    return true;
  }
}
