import { type Coroutine, IommuError } from '@iommukit/kernel';
import type { Ioasid, IoasidGetter, IoasidSet } from './ioasid.js';
import { IoasidTable } from './ioasid-table.js';

/** What a number stands for (IOASID-7, IOASID-8, IOASID-9). */
export class IoasidLookups extends IoasidTable {
  /**
   * What the number stands for. Takes no lock and no reference on the number (IOASID-8); a freed number is unknown, or
   * not, as the switch `find-inactive` says.
   * @param set null matches any
   * @param getter called on what was found, inside the read section; null is returned if it declines
   * @throws IommuError ENOENT for an unknown number, EACCES for one of another set
   */
  *find(set: IoasidSet | null, id: number, getter?: IoasidGetter): Coroutine<unknown> {
    const { kernel } = this.core;
    kernel.rcu.readLock();
    try {
      const record = this.lookUp(id);
      // The record is read after the table: whoever frees the number in between must leave it to us.
      yield* kernel.point(this.lock.footprint, false);
      this.checkFindable(record);
      this.checkSet(record, set);
      const { owner } = record;
      if (getter === undefined) return owner;
      return (yield* getter(owner)) ? owner : this.declined(owner);
    } finally {
      kernel.rcu.readUnlock();
    }
  }

  /**
   * Replaces what the number stands for. When it returns no lookup uses the old one, which the caller may free (IOASID-9).
   * @throws IommuError ENOENT for an unknown number, without waiting
   */
  *setData(id: number, owner: unknown): Coroutine<void> {
    this.core.kernel.mightSleep('a grace period of set_data');
    yield* this.lock.acquire();
    try {
      this.lookUp(id).owner = owner;
    } finally {
      this.lock.leave();
    }
    yield* this.awaitLookups();
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  checkFindable(record: Ioasid): void {
    if (record.state === 'INACTIVE' && this.core.settings['find-inactive'] !== 'ok') throw this.freed(record);
  }

  freed({ id, refs }: Ioasid): IommuError {
    return new IommuError('ENOENT', `PASID ${id} is freed and waits for ${refs} references`, { rule: 'IOASID-13' });
  }

  /** @throws IommuError ENOENT */
  lookUp(id: number): Ioasid {
    this.core.kernel.touch(this.lock.footprint, false);
    const record = this.numbers().get(id);
    if (record === undefined) throw new IommuError('ENOENT', `PASID ${id} is not allocated`, { rule: 'IOASID-7' });
    return record;
  }

  checkSet(record: Ioasid, set: IoasidSet | null): void {
    if (set === null || record.set === set) return;
    throw new IommuError('EACCES', `PASID ${record.id} belongs to set '${record.set.name}', not to '${set.name}'`, {
      rule: 'IOASID-7',
    });
  }

  /** The number is known, what it stands for is dying: not an error (IOASID-8). */
  declined(_owner: unknown): unknown {
    return null;
  }

  awaitLookups(): Coroutine<void> {
    return this.core.kernel.rcu.synchronize();
  }
}
