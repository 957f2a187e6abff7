import { type Coroutine, isIommuError, type Step } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { PERM } from '../faults.js';
import { handleMmFault } from '../tracepoints.js';
import { ENTRY } from './address-space-format.js';
import { FAULT_FLAG, FAULT_RESULT } from './fault-flags.js';
import type { Mm } from './mm.js';
import { PLACEHOLDER, placeholderNumber, placeholderOf } from './placeholders.js';
import { readOnly } from './read-only.js';
import { VMA_FLAG, type Vma } from './vma.js';

/** The entry changed meanwhile: look again. No bit of {@link FAULT_RESULT}, and never a fault's result. */
export const AGAIN = -1;

/** The generic page-fault handler. Callers have checked the rights (PF-2) and hold the mmap lock for read. */
export class PageFaults {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /**
   * Makes `page` of `vma` present. Never drops the lock: there is no retry (PF-3).
   * @param flags FAULT_FLAG bits
   * @returns FAULT_RESULT bits; 0 for a minor fault (PF-4)
   */
  *handleMmFault(mm: Mm, vma: Vma, page: number, flags: number): Coroutine<number> {
    const first = page - (page % this.core.format.pageFrames);
    const result = yield* this.resolve(mm, vma, first, flags);
    const { trace } = this.core.kernel;
    if (trace.wants(handleMmFault)) {
      trace.emit(handleMmFault, {
        space: mm.space,
        addr: BigInt(page) << 12n,
        write: (flags & FAULT_FLAG.WRITE) !== 0,
        result,
      });
    }
    return result;
  }

  *resolve(mm: Mm, vma: Vma, page: number, flags: number): Coroutine<number> {
    try {
      for (;;) {
        const at = yield* this.core.pageTables.ensureTables(mm, page);
        const result = yield* this.attempt(mm, vma, page, at, flags);
        if (result !== AGAIN) return result;
      }
    } catch (error) {
      if (isIommuError(error, 'ENOMEM')) return FAULT_RESULT.OOM;
      throw error;
    }
  }

  /** One look at the entry, and what follows from it (PF-5). */
  attempt(mm: Mm, vma: Vma, page: number, at: number, flags: number): Step<number> {
    const { kernel, pageTables, filePages } = this.core;
    const { kind, entry } = pageTables.find(mm, page);
    if (kind === ENTRY.LEAF) return this.present(mm, vma, page, flags);
    if (placeholderOf(entry) !== PLACEHOLDER.NONE) return this.elsewhere(mm, vma, page, flags);
    // Registers are mapped when their file is; what is absent has nothing behind it.
    if (vma.backing === 'device' || !this.mayMapFresh(mm, vma)) return kernel.done(FAULT_RESULT.SIGBUS);
    return vma.backing === 'file'
      ? filePages.fault(mm, vma, page, at, flags)
      : this.anonymous(mm, vma, page, at, flags);
  }

  /** MM-14: what the OOM reaper took from private mappings must not come back as zeros. */
  mayMapFresh(mm: Mm, vma: Vma): boolean {
    return !mm.unstable || (vma.flags & VMA_FLAG.SHARED) !== 0;
  }

  /** A leaf is there: another task handled the same fault, or the page may not be written yet (PF-5 c, d, e). */
  present(mm: Mm, vma: Vma, page: number, flags: number): Step<number> {
    const { copyOnWrite, format, kernel, pageTables } = this.core;
    const { entry } = pageTables.look;
    const write = (flags & FAULT_FLAG.WRITE) !== 0;
    if (write && (format.permOf(entry) & PERM.WRITE) === 0) return copyOnWrite.writeFault(mm, vma, page);
    return format.isAccessed(entry) ? kernel.done(0) : copyOnWrite.markAccessed(mm, page);
  }

  /** The page is in a swap slot, or being moved. Sleeps (PF-5b). */
  elsewhere(mm: Mm, vma: Vma, page: number, flags: number): Coroutine<number> {
    const { entry } = this.core.pageTables.look;
    return placeholderOf(entry) === PLACEHOLDER.SWAP
      ? this.core.swapping.swapIn(mm, vma, page, placeholderNumber(entry), flags)
      : this.awaitMove(mm, page);
  }

  *awaitMove(mm: Mm, page: number): Coroutine<number> {
    yield* this.core.displaced.settle(mm, page);
    return AGAIN;
  }

  /** PF-5a: a write gets a zeroed page of its own; a read shares the page of zeros. */
  anonymous(mm: Mm, vma: Vma, page: number, at: number, flags: number): Coroutine<number> {
    const write = (flags & FAULT_FLAG.WRITE) !== 0;
    return write ? this.ownPage(mm, vma, page, at) : this.zeroPage(mm, vma, page, at);
  }

  *ownPage(mm: Mm, vma: Vma, page: number, at: number): Coroutine<number> {
    const frame = this.core.pageFrames.alloc(mm.pageOwner);
    const set = yield* this.core.pageTables.setLeaf(mm, at, frame, vma.perm, false);
    return this.made(mm, page, frame, set);
  }

  /** Read-only, whatever the mapping allows: the first write copies (PF-5c). */
  *zeroPage(mm: Mm, vma: Vma, page: number, at: number): Coroutine<number> {
    const frame = this.core.pageFrames.getZero();
    const set = yield* this.core.pageTables.setLeaf(mm, at, frame, readOnly(vma.perm), false);
    return this.made(mm, page, frame, set);
  }

  /** Who comes too late gives the page back, and looks again. */
  made(mm: Mm, page: number, frame: number, set: boolean): number {
    if (set) this.core.leaves.changed(mm, page);
    else this.core.pageFrames.put(frame);
    return set ? 0 : AGAIN;
  }
}
