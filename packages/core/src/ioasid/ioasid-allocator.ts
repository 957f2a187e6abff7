import { IommuError, isIommuError, type Slab } from '@iommukit/kernel';
import type { Core } from '../core.js';

/** The allocator's "no number": all ones, outside the 20 bits that hardware accepts (IOASID-1). */
export const INVALID_IOASID = 0xffffffff;

/** A label on numbers, compared on lookup; it partitions nothing (IOASID-7). Identity is the object. */
export interface IoasidSet {
  readonly name: string;
}

/** One allocated number. */
export interface Ioasid {
  readonly id: number;
  readonly set: IoasidSet;
  /** What the number stands for; for PASIDs the mm. */
  readonly owner: unknown;
  refs: number;
}

/** PASIDs, one space a machine: lowest free number first (IOASID-4), each counted (IOASID-6). */
export class IoasidAllocator {
  readonly core: Core;
  readonly slab: Slab<Ioasid>;
  readonly ids = new Map<number, Ioasid>();
  /** Every number in [1, lowest) is in use: where a search begins. */
  readonly state = { lowest: 1 };

  constructor(core: Core) {
    this.core = core;
    this.slab = core.kernel.slab<Ioasid>('ioasid', { id: 0, set: { name: '' }, owner: null, refs: 0 });
    core.kernel.checkpoints.keepMap(this.ids);
    core.kernel.checkpoints.keep(this.state);
  }

  /**
   * The lowest free number in [min, max], both included, with one reference; {@link INVALID_IOASID} when there is none
   * or no memory for its record (IOASID-5).
   */
  alloc(set: IoasidSet, min: number, max: number, owner: unknown): number {
    const id = this.lowestFree(min, max);
    if (id === INVALID_IOASID) return INVALID_IOASID;
    const record = this.record(id, set, owner);
    if (record === null) return INVALID_IOASID;
    this.ids.set(id, record);
    if (min <= this.state.lowest) this.state.lowest = id + 1;
    return id;
  }

  /** One more reference, for a caller that holds one (IOASID-10). An unknown number is a violation (INV-9). */
  get(id: number): void {
    const record = this.ids.get(id);
    if (record === undefined)
      this.core.kernel.violate('INV-9', `a reference to PASID ${id} is taken, which is not allocated`);
    else record.refs++;
  }

  /**
   * Drops a reference; the last one frees the number. True: this call freed it (IOASID-11). An unknown number is a
   * violation (INV-9) and has no effect.
   */
  put(id: number): boolean {
    const record = this.ids.get(id);
    if (record === undefined) {
      this.core.kernel.violate('INV-9', `a reference to PASID ${id} is dropped, which is not allocated`);
      return false;
    }
    if (--record.refs > 0) return false;
    this.reclaim(record);
    return true;
  }

  /**
   * What the number stands for. Takes no reference on the number; call it in an RCU read section (IOASID-8).
   * @param set null matches any
   * @param getter called on what was found; null is returned if it declines
   * @throws IommuError ENOENT for an unknown number, EACCES for one of another set
   */
  find(set: IoasidSet | null, id: number, getter?: (owner: unknown) => boolean): unknown {
    const record = this.ids.get(id);
    if (record === undefined) throw new IommuError('ENOENT', `PASID ${id} is not allocated`, { rule: 'IOASID-7' });
    if (set !== null && record.set !== set) {
      throw new IommuError('EACCES', `PASID ${id} belongs to set '${record.set.name}', not to '${set.name}'`, {
        rule: 'IOASID-7',
      });
    }
    const { owner } = record;
    return getter === undefined || getter(owner) ? owner : null;
  }

  /** Numbers in use. */
  inUse(): number {
    return this.ids.size;
  }

  lowestFree(min: number, max: number): number {
    let id = Math.max(min, this.state.lowest);
    while (id <= max && this.ids.has(id)) id++;
    return id <= max ? id : INVALID_IOASID;
  }

  record(id: number, set: IoasidSet, owner: unknown): Ioasid | null {
    try {
      return this.slab.alloc({ id, set, owner, refs: 1 });
    } catch (error) {
      if (isIommuError(error, 'ENOMEM')) return null;
      throw error;
    }
  }

  /** The number goes back to the pool at once; its record after a grace period, since readers may still look at it. */
  reclaim(record: Ioasid): void {
    const { id } = record;
    this.ids.delete(id);
    if (id < this.state.lowest) this.state.lowest = id;
    this.core.kernel.rcu.call(() => this.slab.free(record));
  }
}
