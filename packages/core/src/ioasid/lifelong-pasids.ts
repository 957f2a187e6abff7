import { type Coroutine, IdAllocator, IommuError } from '@iommukit/kernel';
import type { Core, CoreParts } from '../core.js';
import type { Mm } from '../mm/mm.js';
import { MmService } from '../mm/mm-service.js';
import { Sva } from '../sva/sva.js';
import { INVALID_IOASID } from './ioasid.js';

/** The largest PASID: 20 bits (IOASID-1). */
const LAST_PASID = 0xf_ffff;

/**
 * PASIDs as kernels from 6.4 have them: out of one global id allocator, one an mm, without references, and the mm's until
 * its record is freed (IOASID-18). An upper bound is a device's count of PASIDs less one.
 */
export class LifelongPasids extends Sva {
  readonly ids: IdAllocator;
  readonly mms = new Map<number, Mm>();

  constructor(core: Core) {
    super(core);
    this.ids = new IdAllocator(core.kernel, 'PASID', 1, LAST_PASID);
    core.kernel.checkpoints.keepMap(this.mms);
  }

  /** Nothing is counted: the mm keeps its PASID. */
  override freePasid(_mm: Mm): void {}

  override *find(pasid: number): Coroutine<Mm | null> {
    const mm = this.mms.get(pasid);
    if (mm === undefined) throw new IommuError('ENOENT', `PASID ${pasid} is not allocated`, { rule: 'IOASID-18' });
    this.core.mms.grab(mm);
    const alive = yield* this.takeUser(mm);
    this.core.mms.drop(mm);
    return alive ? mm : null;
  }

  override newPasid(mm: Mm, min: number, max: number): number {
    const pasid = this.ids.alloc(min, max);
    if (pasid === null) return INVALID_IOASID;
    this.mms.set(pasid, mm);
    return pasid;
  }

  override keepPasid(_pasid: number): void {}

  /** The mm's record is about to be freed. */
  mmFreed(mm: Mm): void {
    if (!this.hasPasid(mm)) return;
    this.mms.delete(mm.pasid);
    this.ids.free(mm.pasid);
    mm.pasid = this.unset;
  }
}

/** Gives an mm's PASID back with its record (MM-3). */
export class LifelongMmService extends MmService {
  override lastReference(mm: Mm): void {
    (this.core.sva as LifelongPasids).mmFreed(mm);
    super.lastReference(mm);
  }
}

/** Parts of a core with such PASIDs: `createCore({ kernel, bus, parts: { ...coreParts, ...lifelongPasids } })`. */
export const lifelongPasids: Pick<CoreParts, 'MmService' | 'Sva'> = {
  MmService: LifelongMmService,
  Sva: LifelongPasids,
};
