import { isIommuError, type Slab } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { CustomAllocators } from './custom-allocators.js';
import { INVALID_IOASID, type Ioasid, type IoasidSet } from './ioasid.js';
import { IoasidLock } from './ioasid-lock.js';
import { IoasidNotifications } from './notifications.js';
import { NumberSpace } from './number-space.js';

/** The classes that an allocator is made from. */
export interface IoasidParts {
  readonly CustomAllocators: new (ioasid: IoasidTable) => CustomAllocators;
  readonly IoasidNotifications: new (ioasid: IoasidTable) => IoasidNotifications;
}

/** The default parts. */
export const ioasidParts: IoasidParts = { CustomAllocators, IoasidNotifications };

/** Where numbers come from and go to, and the record of each (IOASID-4, IOASID-5, IOASID-16). */
export class IoasidTable {
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

  /** The number leaves the table, and whoever gave it has it back. */
  giveUp(id: number): void {
    this.numbers().delete(id);
    if (this.custom.state.active === null) this.space.freed(id);
    else this.customFree(id);
  }

  /** Lookups may still look at it. */
  freeRecord(record: Ioasid): void {
    this.core.kernel.rcu.call(() => this.slab.free(record));
  }

  stray(id: number, what: string, done: string, never = 'allocated'): void {
    this.core.kernel.violate('INV-9', `${what} ${id} ${done}, which is not ${never}`);
  }
}
