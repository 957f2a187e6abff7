import { type Coroutine, IommuError, isIommuError } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { INVALID_IOASID, type IoasidGetter, type IoasidSet } from '../ioasid/ioasid.js';
import { unsetPasid } from '../ioasid/sentinels.js';
import type { Mm } from '../mm/mm.js';

/** The set of the PASIDs that stand for address spaces. */
export const SVA_PASIDS: IoasidSet = Object.freeze({ name: 'sva' });

/** One PASID an address space (SVA-2): allocation, lookup, release. */
export class Sva {
  readonly core: Core;
  /** What an mm's PASID field is while it has none (IOASID-3). */
  readonly unset: number;

  constructor(core: Core) {
    this.core = core;
    this.unset = unsetPasid(core.settings);
  }

  /**
   * The mm's PASID with one more reference; a new one from [min, max], both included, if it has none. Every failure is
   * thrown (IOASID-20). Drivers call it under their SVA lock.
   * @throws IommuError EINVAL for a range that includes 0 or the failure value (IOASID-2), EOVERFLOW when the mm's
   * PASID lies outside the range (IOASID-19), ENOENT when it is freed (IOASID-13), ENOSPC when no PASID is free
   */
  allocPasid(mm: Mm, min: number, max: number): number {
    this.checkRange(min, max);
    if (this.hasPasid(mm)) return this.reusePasid(mm, min, max);
    const pasid = this.newPasid(mm, min, max);
    if (pasid === INVALID_IOASID) {
      throw new IommuError('ENOSPC', `no PASID in [${min}, ${max}] is free`, {
        rule: 'IOASID-5',
        remedy: 'unbind another process',
      });
    }
    mm.pasid = pasid;
    this.core.kernel.observer.handedOut('PASID', pasid, mm.space);
    return pasid;
  }

  /** Drops a reference of the mm's PASID; the last one frees the number, and the mm has none (SVA-15). */
  freePasid(mm: Mm): void {
    if (this.core.ioasid.put(mm.pasid)) mm.pasid = this.unset;
  }

  /**
   * The address space that a PASID stands for, with one more user, which the caller puts (IOASID-8).
   * @returns null when its last user is gone
   * @throws IommuError ENOENT for an unknown PASID, EACCES for one that stands for something else
   */
  find(pasid: number): Coroutine<Mm | null> {
    return this.core.ioasid.find(SVA_PASIDS, pasid, this.getter()) as Coroutine<Mm | null>;
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

  /** IOASID-3: a test with the other sentinel binds PASID 0, or takes every mm for bound. */
  hasPasid(mm: Mm): boolean {
    return mm.pasid !== this.unset;
  }

  newPasid(mm: Mm, min: number, max: number): number {
    return this.core.ioasid.alloc(SVA_PASIDS, min, max, mm);
  }

  reusePasid(mm: Mm, min: number, max: number): number {
    const { pasid } = mm;
    if (!this.fits(pasid, min, max)) {
      throw new IommuError('EOVERFLOW', `PASID ${pasid} of ${mm.space} is not in [${min}, ${max}]`, {
        rule: 'IOASID-19',
        remedy: 'bind the device with the fewest PASID bits first',
      });
    }
    this.keepPasid(pasid);
    return pasid;
  }

  keepPasid(pasid: number): void {
    this.core.ioasid.get(pasid);
  }

  /** Both bounds are included (IOASID-19). */
  fits(pasid: number, min: number, max: number): boolean {
    return min <= pasid && pasid <= max;
  }

  /** MM-1: the only legal way from a reference to a live address space, taken while the number is known (IOASID-8). */
  getter(): IoasidGetter | undefined {
    return (mm) => this.takeUser(mm as Mm);
  }

  takeUser(mm: Mm): Coroutine<boolean> {
    return this.core.mms.getNotZero(mm);
  }
}
