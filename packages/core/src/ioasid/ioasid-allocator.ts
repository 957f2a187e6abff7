import { INVALID_IOASID, type Ioasid, type IoasidSet } from './ioasid.js';
import { IoasidLookups } from './ioasid-lookups.js';
import { IOASID_CHAIN } from './notifications.js';

const BOTH_CHAINS = IOASID_CHAIN.GLOBAL | IOASID_CHAIN.SET;

/**
 * PASIDs, one space a machine: lowest free number first (IOASID-4), each counted (IOASID-6), with the states of
 * IOASID-13. Whatever changes a number is one step under one lock (IOASID-15): `yield* ioasid.lock.turn()` before it
 * lets others go first. A lookup takes no lock.
 */
export class IoasidAllocator extends IoasidLookups {
  /**
   * A number in [min, max], both included, with one reference: the lowest free one, or what the custom allocator gives.
   * {@link INVALID_IOASID} when there is none, or no memory for its record (IOASID-5).
   */
  alloc(set: IoasidSet, min: number, max: number, owner: unknown): number {
    this.lock.enter();
    try {
      const record = this.newRecord(set, owner);
      if (record === null) return INVALID_IOASID;
      const id = this.number(min, max, record);
      if (id === INVALID_IOASID) this.slab.free(record);
      else this.announceAlloc(record);
      return id;
    } finally {
      this.lock.leave();
    }
  }

  /**
   * One more reference, for a caller that holds one (IOASID-10). An unknown number is a violation (INV-9).
   * @throws IommuError ENOENT when the number is freed: no new holder may appear (IOASID-13)
   */
  get(id: number): void {
    this.lock.enter();
    try {
      const record = this.numbers().get(id);
      if (record === undefined) return this.stray(id, 'a reference to PASID', 'is taken');
      this.checkGettable(record);
      record.refs++;
    } finally {
      this.lock.leave();
    }
  }

  /**
   * Drops a reference; the last one gives the number back to the pool. True: this call did (IOASID-11). An unknown number
   * is a violation (INV-9) and has no effect.
   */
  put(id: number): boolean {
    this.lock.enter();
    try {
      const record = this.numbers().get(id);
      if (record !== undefined) return this.drop(record);
      this.stray(id, 'a reference to PASID', 'is dropped');
      return false;
    } finally {
      this.lock.leave();
    }
  }

  /**
   * The number is no longer in use, and no new holder may appear: INACTIVE until the last reference is put, its own being
   * dropped here. Cannot fail; a second call has no effect (IOASID-13). An unknown number is a violation (INV-9).
   */
  free(id: number): void {
    this.lock.enter();
    try {
      const record = this.numbers().get(id);
      if (record === undefined) this.stray(id, 'PASID', 'is freed');
      else if (record.state === 'INACTIVE') this.freedAgain(record);
      else {
        this.deactivate(record);
        this.dropFreed(record);
      }
    } finally {
      this.lock.leave();
    }
  }

  /**
   * One more user of the number, for listeners: the first one is told as BIND (IOASID-17).
   * @param chains flags of {@link IOASID_CHAIN}
   * @throws IommuError ENOENT when the number is freed
   */
  bind(id: number, chains = BOTH_CHAINS): void {
    this.lock.enter();
    try {
      const record = this.numbers().get(id);
      if (record === undefined) return this.stray(id, 'PASID', 'is bound');
      this.checkGettable(record);
      if (++record.bonds === 1) this.notifications.announce('BIND', record, chains);
    } finally {
      this.lock.leave();
    }
  }

  /** One user less; the last one is told as UNBIND. One too many is a violation (INV-9). */
  unbind(id: number, chains = BOTH_CHAINS): void {
    this.lock.enter();
    try {
      const record = this.numbers().get(id);
      if (record === undefined || record.bonds === 0) this.stray(id, 'PASID', 'is unbound', 'bound');
      else if (--record.bonds === 0) this.notifications.announce('UNBIND', record, chains);
    } finally {
      this.lock.leave();
    }
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** IOASID-13: the number waits for its last reference. */
  checkGettable(record: Ioasid): void {
    if (record.state === 'INACTIVE') throw this.freed(record);
  }

  announceAlloc(record: Ioasid): void {
    this.notifications.announce('ALLOC', record, BOTH_CHAINS);
  }

  /** ACTIVE becomes INACTIVE once, and that is told once (IOASID-17). */
  deactivate(record: Ioasid): void {
    record.state = 'INACTIVE';
    this.notifications.announce('FREE', record, BOTH_CHAINS);
  }

  freedAgain(_record: Ioasid): void {
    // The one who freed it dropped its reference then.
  }

  dropFreed(record: Ioasid): void {
    this.drop(record);
  }

  /** True if it was the last reference. */
  drop(record: Ioasid): boolean {
    if (--record.refs > 0) return false;
    if (record.state === 'ACTIVE') this.deactivate(record);
    this.reclaim(record);
    return true;
  }

  /** The number goes back to the pool at once; its record after a grace period, since lookups may still look at it. */
  reclaim(record: Ioasid): void {
    this.checkUnreferenced(record);
    this.giveUp(record.id);
    this.freeRecord(record);
  }

  /** What a holder still has programmed must not be handed out. */
  checkUnreferenced({ id, refs }: Ioasid): void {
    if (refs > 0) this.core.kernel.violate('INV-4', `PASID ${id} goes back to the pool with ${refs} references left`);
  }
}
