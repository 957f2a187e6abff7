import { type Coroutine, IommuError, isIommuError, type Slab } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { CustomAllocators } from './custom-allocators.js';
import { INVALID_IOASID, type Ioasid, type IoasidGetter, type IoasidSet } from './ioasid.js';
import { IoasidLock } from './ioasid-lock.js';
import { IOASID_CHAIN, IoasidNotifications } from './notifications.js';
import { NumberSpace } from './number-space.js';

/** The classes that an {@link IoasidAllocator} is made from. */
export interface IoasidParts {
  readonly CustomAllocators: new (ioasid: IoasidAllocator) => CustomAllocators;
  readonly IoasidNotifications: new (ioasid: IoasidAllocator) => IoasidNotifications;
}

/** The default parts. */
export const ioasidParts: IoasidParts = { CustomAllocators, IoasidNotifications };

const BOTH_CHAINS = IOASID_CHAIN.GLOBAL | IOASID_CHAIN.SET;

/**
 * PASIDs, one space a machine: lowest free number first (IOASID-4), each counted (IOASID-6), with the states of
 * IOASID-13. Whatever changes a number is one step under one lock (IOASID-15): `yield* ioasid.lock.turn()` before it
 * lets others go first. A lookup takes no lock.
 */
export class IoasidAllocator {
  readonly core: Core;
  readonly slab: Slab<Ioasid>;
  readonly lock: IoasidLock;
  /** Numbers of the default allocator. */
  readonly space: NumberSpace;
  readonly custom: CustomAllocators;
  readonly notifications: IoasidNotifications;

  constructor(core: Core, parts: IoasidParts = ioasidParts) {
    const { kernel } = core;
    this.core = core;
    const set: IoasidSet = { name: '' };
    this.slab = kernel.slab<Ioasid>('ioasid', { id: 0, set, owner: null, refs: 0, state: 'ACTIVE', bonds: 0 });
    this.lock = new IoasidLock(kernel);
    this.space = new NumberSpace(kernel);
    this.custom = new parts.CustomAllocators(this);
    this.notifications = new parts.IoasidNotifications(this);
  }

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

  /** Numbers in use, whoever handed them out. */
  inUse(): number {
    return this.custom.groups.reduce((sum, group) => sum + group.ids.size, this.space.ids.size);
  }

  /** The record of every number in use. */
  *records(): Generator<Ioasid, void, void> {
    yield* this.space.ids.values();
    for (const group of this.custom.groups) yield* group.ids.values();
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Numbers of the allocator that is asked. */
  numbers(): Map<number, Ioasid> {
    return this.custom.state.active?.ids ?? this.space.ids;
  }

  newRecord(set: IoasidSet, owner: unknown): Ioasid | null {
    try {
      return this.slab.alloc({ set, owner, refs: 1 });
    } catch (error) {
      if (isIommuError(error, 'ENOMEM')) return null;
      throw error;
    }
  }

  /** Numbers and tracks the record. */
  number(min: number, max: number, record: Ioasid): number {
    const group = this.custom.state.active;
    if (group !== null) return this.customNumber(min, max, record);
    const id = this.space.lowestFree(min, max);
    if (id === INVALID_IOASID) return INVALID_IOASID;
    this.store(this.space.ids, id, record);
    this.space.took(id, min);
    return id;
  }

  /** The record is stored at exactly the number that the custom allocator gives (IOASID-16 g). */
  customNumber(min: number, max: number, record: Ioasid): number {
    const { ops, ids } = this.custom.state.active!;
    const id = ops.alloc(min, max, ops.data);
    if (id === INVALID_IOASID) return INVALID_IOASID;
    if (!this.canTrack(id, ids)) {
      this.giveBack(id);
      return INVALID_IOASID;
    }
    this.store(ids, id, record);
    return id;
  }

  /** No memory for the table, a number that is in it already, or none at all: refused (IOASID-5). */
  canTrack(id: number, ids: Map<number, Ioasid>): boolean {
    if (!Number.isInteger(id) || id < 0 || id > INVALID_IOASID || ids.has(id)) return false;
    try {
      this.core.kernel.injection.allocate('ioasid table');
      return true;
    } catch (error) {
      if (isIommuError(error, 'ENOMEM')) return false;
      throw error;
    }
  }

  /** No number exists in hardware without a record (IOASID-5). */
  giveBack(id: number): void {
    this.customFree(id);
  }

  customFree(id: number): void {
    const { ops } = this.custom.state.active!;
    ops.free(id, ops.data);
  }

  store(ids: Map<number, Ioasid>, id: number, record: Ioasid): void {
    this.checkUnused(id);
    record.id = id;
    ids.set(id, record);
  }

  /** Two allocators that hold numbers at once would hand out the same one (IOASID-16 b). */
  checkUnused(id: number): void {
    if (this.custom.groups.length === 0) return;
    for (const record of this.records()) {
      if (record.id === id) this.core.kernel.violate('INV-4', `PASID ${id} is handed out by two allocators`);
    }
  }

  /** IOASID-13: the number waits for its last reference. */
  checkGettable(record: Ioasid): void {
    if (record.state === 'INACTIVE') throw this.freed(record);
  }

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

  *awaitLookups(): Coroutine<void> {
    yield* this.core.kernel.rcu.synchronize();
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
    const { id } = record;
    this.checkUnreferenced(record);
    this.numbers().delete(id);
    if (this.custom.state.active === null) this.space.freed(id);
    else this.customFree(id);
    this.freeRecord(record);
  }

  /** What a holder still has programmed must not be handed out. */
  checkUnreferenced({ id, refs }: Ioasid): void {
    if (refs > 0) this.core.kernel.violate('INV-4', `PASID ${id} goes back to the pool with ${refs} references left`);
  }

  freeRecord(record: Ioasid): void {
    this.core.kernel.rcu.call(() => this.slab.free(record));
  }

  stray(id: number, what: string, done: string, never = 'allocated'): void {
    this.core.kernel.violate('INV-9', `${what} ${id} ${done}, which is not ${never}`);
  }
}
