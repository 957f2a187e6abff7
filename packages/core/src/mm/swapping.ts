import type { Coroutine } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { PERM } from '../faults.js';
import { FAULT_FLAG, FAULT_RESULT } from './fault-flags.js';
import type { Mm } from './mm.js';
import { AGAIN } from './page-faults.js';
import { PLACEHOLDER, placeholderNumber } from './placeholders.js';
import { readOnly } from './read-only.js';
import type { Vma } from './vma.js';

/** Brings swapped-out pages back (PF-5b). Callers hold the mmap lock for read. */
export class Swapping {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** @returns FAULT_RESULT bits, or AGAIN @throws IommuError ENOMEM */
  *swapIn(mm: Mm, vma: Vma, page: number, number: number, flags: number): Coroutine<number> {
    const { pageFrames, swap } = this.core;
    const frame = pageFrames.alloc(mm.pageOwner);
    // The entry's own reference may go while this task sleeps.
    swap.get(number);
    yield* swap.read(number, frame);
    const lock = yield* mm.pageTableLock.acquire();
    const same = this.standsFor(mm, page, number);
    if (same) {
      const write = (flags & FAULT_FLAG.WRITE) !== 0;
      if (!write) swap.remember(frame, number);
      yield* this.setLeaf(mm, vma, page, frame, write);
      swap.put(number);
    }
    lock.release();
    swap.put(number);
    if (same) return FAULT_RESULT.MAJOR;
    pageFrames.put(frame);
    return AGAIN;
  }

  standsFor(mm: Mm, page: number, number: number): boolean {
    const { leaves, pageTables } = this.core;
    return leaves.placeholder(mm, page) === PLACEHOLDER.SWAP && placeholderNumber(pageTables.look.entry) === number;
  }

  /** Clean until it is written: read-only, or writable where hardware marks it dirty. */
  *setLeaf(mm: Mm, { perm }: Vma, page: number, frame: number, write: boolean): Coroutine<void> {
    const { leaves } = this.core;
    const marks = leaves.markedByHardware && (perm & PERM.WRITE) !== 0;
    yield* leaves.clearPlaceholder(mm, page);
    if (write) yield* leaves.store(mm, page, frame, perm);
    else if (marks) yield* leaves.store(mm, page, frame, perm, { dirty: false });
    else yield* leaves.store(mm, page, frame, readOnly(perm));
  }
}
