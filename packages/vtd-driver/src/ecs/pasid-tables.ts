import type { Coroutine } from '@iommukit/kernel';
import { ECS_PASID_BYTES, ECS_PASID_CAP, ECS_PASID_STATE_BYTES, EcsPasidStateEntry } from '@iommukit/vtd-spec';
import type { FirstStage } from '../pasid-entries.js';
import { type EntryState, PasidTables } from '../pasid-tables.js';
import type { Master } from '../records.js';
import type { Vtd } from '../vtd.js';
import { extendedEntry, LEAST_BITS } from './entries.js';

const DEFERRED = EcsPasidStateEntry.f.dinv.maskHi;

/** One PASID table for all devices of the unit, contiguous, and beside it one of states (VTD-44, SVA-21). */
export class EcsPasidTables extends PasidTables {
  /** Where the tables are (0: there are none), and how many devices use them. */
  readonly shared = { table: 0, states: 0, users: 0 };
  readonly idle = new Uint32Array(2);

  constructor(vtd: Vtd) {
    super(vtd);
    vtd.kernel.checkpoints.keep(this.shared);
  }

  // ── the tables ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** PASIDs that there is room for: as many as the unit knows, within what PTS can say and 1 MiB holds (VTD-44). */
  entries(): number {
    return Math.min(2 ** Math.max(this.vtd.features.pasidBits, LEAST_BITS), ECS_PASID_CAP);
  }

  tableBytes(): number {
    return this.entries() * ECS_PASID_BYTES;
  }

  stateBytes(): number {
    return this.entries() * ECS_PASID_STATE_BYTES;
  }

  /** What is freed is what was allocated (SVA-21). */
  freedBytes(allocated: number): number {
    return allocated;
  }

  /** The first device makes the tables. Devices have no more PASIDs than there are entries. */
  override *create(master: Master): Coroutine<void> {
    if (this.shared.table === 0) yield* this.allocate();
    this.shared.users++;
    const { table: pa, states } = this.shared;
    const entries = this.entries();
    master.pasidBits = Math.min(master.pasidBits, Math.log2(entries));
    master.directory = { pa, bytes: this.tableBytes(), pdts: 0, leaves: new Map(), states, entries };
  }

  *allocate(): Coroutine<void> {
    const { device, features, name } = this.vtd;
    const table = yield* device.dma.alloc(this.tableBytes(), `${name} ECS PASID table`);
    try {
      if (features.dis)
        this.shared.states = yield* device.dma.alloc(this.stateBytes(), `${name} ECS PASID-state table`);
    } catch (error) {
      yield* device.dma.free(table, this.freedBytes(this.tableBytes()));
      throw error;
    }
    this.shared.table = table;
  }

  /** The last device takes them away. */
  override *destroy(master: Master): Coroutine<void> {
    if (master.directory === null) return;
    master.directory = null;
    if (--this.shared.users === 0) yield* this.release();
  }

  *release(): Coroutine<void> {
    const { dma } = this.vtd.device;
    const { table, states } = this.shared;
    this.shared.table = 0;
    this.shared.states = 0;
    yield* dma.free(table, this.freedBytes(this.tableBytes()));
    if (states !== 0) yield* dma.free(states, this.freedBytes(this.stateBytes()));
  }

  // ── entries ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** There is room for every PASID. */
  override *reserve(_master: Master, _pasid: number): Coroutine<void> {}

  override imageOf(space: FirstStage): Uint32Array {
    return extendedEntry(space);
  }

  override addressOf(_master: Master, pasid: number): number {
    return this.shared.table + pasid * ECS_PASID_BYTES;
  }

  override get entryBytes(): number {
    return ECS_PASID_BYTES;
  }

  /** One 64-bit store. The absence may be cached with caching mode (VTD-46). */
  override *install(master: Master, pasid: number, image: Uint32Array, did: number): Coroutine<void> {
    yield* this.storePresent(master, pasid, image);
    yield* this.flushAfterPresent(did, pasid);
  }

  override *stateOf(master: Master, pasid: number): Coroutine<EntryState> {
    yield* this.vtd.device.dma.load64(this.addressOf(master, pasid), this.word);
    return (this.word[0]! & 1) === 0 ? 'empty' : 'present';
  }

  /** An entry has one word, and nothing that keeps faults quiet. */
  override *block(master: Master, pasid: number, _quiet: boolean): Coroutine<void> {
    yield* this.vtd.device.dma.store64(this.addressOf(master, pasid), 0, 0);
  }

  override erase(master: Master, pasid: number, quiet: boolean): Coroutine<void> {
    return this.block(master, pasid, quiet);
  }

  // ── deferred invalidation ──────────────────────────────────────────────────────────────────────────────────────

  /**
   * VTD-48: nothing uses the PASID now, and the unit invalidates before anything does again. False: there is no such table,
   * or references are active, or it was asked for before; then flush. In the caller's step.
   */
  defer(pasid: number): boolean {
    const { bus, kernel } = this.vtd.core;
    const { states } = this.shared;
    if (states === 0) return false;
    const at = states + pasid * ECS_PASID_STATE_BYTES;
    kernel.touch(Math.floor(at / 8), true);
    this.idle.fill(0);
    return bus.swap64(at, this.idle, 0, DEFERRED);
  }
}
