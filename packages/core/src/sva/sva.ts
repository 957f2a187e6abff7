import { type Coroutine, IommuError, isIommuError } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { INVALID_IOASID, type IoasidSet } from '../ioasid/ioasid-allocator.js';
import { type Mm, NO_PASID } from '../mm/mm.js';

/** The set of the PASIDs that stand for address spaces. */
export const SVA_PASIDS: IoasidSet = Object.freeze({ name: 'sva' });

/** One PASID an address space (SVA-2): allocation, lookup, release. */
export class Sva {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /**
   * The mm's PASID with one more reference; a new one from [min, max], both included, if it has none. Every failure is
   * thrown (IOASID-20). Drivers call it under their SVA lock.
   * @throws IommuError EINVAL for a range that includes 0 or the failure value (IOASID-2), EOVERFLOW when the mm's
   * PASID lies outside the range (IOASID-19), ENOSPC when no PASID is free
   */
  allocPasid(mm: Mm, min: number, max: number): number {
    this.checkRange(min, max);
    if (mm.pasid !== NO_PASID) return this.reusePasid(mm, min, max);
    const pasid = this.core.ioasid.alloc(SVA_PASIDS, min, max, mm);
    if (pasid === INVALID_IOASID) {
      throw new IommuError('ENOSPC', `no PASID in [${min}, ${max}] is free`, {
        rule: 'IOASID-5',
        remedy: 'unbind another process',
      });
    }
    mm.pasid = pasid;
    return pasid;
  }

  /** Drops a reference of the mm's PASID; the last one frees the number, and the mm has none (SVA-15). */
  freePasid(mm: Mm): void {
    if (this.core.ioasid.put(mm.pasid)) mm.pasid = NO_PASID;
  }

  /**
   * The address space that a PASID stands for, with one more user, which the caller puts (IOASID-8).
   * @returns null when its last user is gone
   * @throws IommuError ENOENT for an unknown PASID, EACCES for one that stands for something else
   */
  *find(pasid: number): Coroutine<Mm | null> {
    const { kernel } = this.core;
    kernel.rcu.readLock();
    try {
      const mm = this.lookUp(pasid);
      return (yield* this.takeUser(mm)) ? mm : null;
    } finally {
      kernel.rcu.readUnlock();
    }
  }

  /** {@link find} for those to whom an unknown PASID and a dead address space are the same. */
  *findOrNull(pasid: number): Coroutine<Mm | null> {
    try {
      return yield* this.find(pasid);
    } catch (error) {
      if (isIommuError(error, 'ENOENT') || isIommuError(error, 'EACCES')) return null;
      throw error;
    }
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  checkRange(min: number, max: number): void {
    if (min > 0 && max < INVALID_IOASID && min <= max) return;
    throw new IommuError('EINVAL', `[${min}, ${max}] is no range of PASIDs`, {
      rule: 'IOASID-2',
      remedy: 'begin at 1',
    });
  }

  reusePasid(mm: Mm, min: number, max: number): number {
    const { pasid } = mm;
    if (pasid < min || pasid > max) {
      throw new IommuError('EOVERFLOW', `PASID ${pasid} of ${mm.space} is not in [${min}, ${max}]`, {
        rule: 'IOASID-19',
        remedy: 'bind the device with the fewest PASID bits first',
      });
    }
    this.core.ioasid.get(pasid);
    return pasid;
  }

  lookUp(pasid: number): Mm {
    return this.core.ioasid.find(SVA_PASIDS, pasid) as Mm;
  }

  /** MM-1: the only legal way from a reference to a live address space. */
  takeUser(mm: Mm): Coroutine<boolean> {
    return this.core.mms.getNotZero(mm);
  }
}
