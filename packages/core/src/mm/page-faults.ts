import { type Coroutine, isIommuError } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { handleMmFault } from '../tracepoints.js';
import { ENTRY } from './address-space-format.js';
import { FAULT_FLAG, FAULT_RESULT } from './fault-flags.js';
import type { Mm } from './mm.js';
import type { Vma } from './vma.js';

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
    const result = yield* this.resolve(mm, vma, page, flags);
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
      const at = yield* this.core.pageTables.ensureTables(mm, page);
      // Present already: another task handled the same fault.
      if (this.core.pageTables.find(mm, page).kind === ENTRY.LEAF) return 0;
      // Registers are mapped when their file is; what is absent has nothing behind it.
      if (vma.backing === 'device') return FAULT_RESULT.SIGBUS;
      return yield* this.anonymous(mm, vma, page, at, flags);
    } catch (error) {
      if (isIommuError(error, 'ENOMEM')) return FAULT_RESULT.OOM;
      throw error;
    }
  }

  /**
   * PF-5a. A read gets a zeroed frame of its own too, with all of the mapping's rights: there is no shared zero page.
   */
  *anonymous(mm: Mm, vma: Vma, _page: number, at: number, _flags: number): Coroutine<number> {
    const { frames } = this.core.bus;
    const frame = frames.alloc(mm.pageOwner);
    if (!(yield* this.core.pageTables.setLeaf(mm, at, frame, vma.perm, false))) frames.free(frame);
    return 0;
  }
}
