import { type Coroutine, Mutex } from '@iommukit/kernel';
import { CONTEXT_BYTES, LEGACY_CONTEXT_BYTES, LegacyRootEntry, ROOT_BYTES, RootEntry } from '@iommukit/vtd-spec';
import { scalableContext } from './pasid-entries.js';
import type { Master } from './records.js';
import type { Vtd } from './vtd.js';

const TABLE_BYTES = 4096;

/** The root table and its context tables: requester id → how its requests are translated (vtd.md 2.1 … 2.8). */
export class ContextTables {
  readonly vtd: Vtd;
  readonly owner: string;
  readonly state = { root: 0 };
  /** Half of a bus (bus · 2 + devfn[7]), in legacy mode a bus (bus · 2) → physical address of its context entries. */
  readonly tables: Map<number, number>;
  /** Two devices of one bus may come at the same time. */
  readonly lock: Mutex;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    this.owner = `${vtd.name} context table`;
    this.lock = new Mutex(vtd.kernel, 'vtd context tables');
    this.tables = vtd.kernel.checkpoints.keepMap(new Map());
    vtd.kernel.checkpoints.keep(this.state);
  }

  /** Allocates the root table, empty (VTD-4). */
  *prepare(): Coroutine<void> {
    this.state.root = yield* this.vtd.device.dma.alloc(TABLE_BYTES, `${this.vtd.name} root table`);
  }

  /** Root entries have two halves, and context entries 32 bytes. */
  get halves(): boolean {
    return this.vtd.mode !== 'legacy';
  }

  get entryBytes(): number {
    return this.halves ? CONTEXT_BYTES : LEGACY_CONTEXT_BYTES;
  }

  /** Which context table a requester's entry is in. */
  tableOf(sid: number): number {
    return this.halves ? sid >>> 7 : (sid >>> 8) * 2;
  }

  /** The physical address of a requester's entry; its table exists. */
  addressOf(sid: number): number {
    const index = sid & (this.halves ? 0x7f : 0xff);
    return this.tables.get(this.tableOf(sid))! + index * this.entryBytes;
  }

  /** Makes the context table of a requester. */
  *reserve(sid: number): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    try {
      if (!this.tables.has(this.tableOf(sid))) yield* this.makeTable(sid);
    } finally {
      lock.release();
    }
  }

  *makeTable(sid: number): Coroutine<void> {
    const { dma } = this.vtd.device;
    const pa = yield* dma.alloc(TABLE_BYTES, this.owner);
    const table = this.tableOf(sid);
    this.tables.set(table, pa);
    const half = (table % 2) * 2;
    const root = this.halves
      ? RootEntry.make({ lp: 1, lctp: pa, up: 1, uctp: pa })
      : LegacyRootEntry.make({ p: 1, ctp: pa });
    yield* dma.store64(this.state.root + Math.floor(table / 2) * ROOT_BYTES + half * 4, root[half]!, root[half + 1]!);
  }

  // ── scalable mode: one entry for as long as the device is here ──────────────────────────────────────────────────

  /** Points every requester id of a device to its PASID directory. */
  *install(master: Master): Coroutine<void> {
    const image = this.image(master);
    for (const sid of master.device.streams) yield* this.write(sid, image, 0);
  }

  /** What the device may do is in its entry before it is on in the device (VTD-9). */
  image(master: Master): Uint32Array {
    const { directory, noAts, noPri, pasidBits } = master;
    const { pa, pdts } = directory!;
    return scalableContext({ directory: pa, pdts, ats: noAts === '', pasids: pasidBits > 0, pri: noPri === '' });
  }

  /** Takes the device out. No PASID entry of it is present any more (VTD-51). */
  *remove(master: Master): Coroutine<void> {
    for (const sid of master.device.streams) yield* this.clear(master, sid, 0);
  }

  // ── entries in any mode ────────────────────────────────────────────────────────────────────────────────────────

  /** From not present to present: every field, then P (VTD-8). `did` is the domain's that it names, 0 in scalable mode. */
  *write(sid: number, image: Uint32Array, did: number): Coroutine<void> {
    yield* this.reserve(sid);
    yield* this.storeFields(sid, image);
    yield* this.storePresent(sid, image);
    yield* this.flushAfterPresent(sid, did);
  }

  *storeFields(sid: number, image: Uint32Array): Coroutine<void> {
    yield* this.vtd.device.dma.storeWords(this.addressOf(sid) + 8, image, 2, this.entryBytes / 8 - 1);
  }

  /** P and what is beside it: one store, the last. */
  *storePresent(sid: number, image: Uint32Array): Coroutine<void> {
    yield* this.vtd.device.dma.store64(this.addressOf(sid), image[0]!, image[1]!);
  }

  /** VTD-15: the absence may be cached, with caching mode; its tag is domain 0. */
  *flushAfterPresent(sid: number, did: number): Coroutine<void> {
    const { features, invalidation, reset, mode } = this.vtd;
    if (!features.cm) return yield* reset.flushWriteBuffers();
    yield* invalidation.context(0, sid);
    yield* invalidation.domain(mode === 'legacy' ? did : 0);
  }

  /** From present to not present (VTD-51): P, then what is cached of it, then the rest. */
  *clear(master: Master, sid: number, did: number): Coroutine<void> {
    const { dma } = this.vtd.device;
    if (!this.tables.has(this.tableOf(sid)) || !(yield* this.isPresent(sid))) return;
    yield* dma.store64(this.addressOf(sid), 0, 0);
    yield* this.flushAfterAbsent(master, sid, did);
    yield* dma.storeWords(this.addressOf(sid) + 8, new Uint32Array(this.entryBytes / 4), 0, this.entryBytes / 8 - 1);
  }

  *flushAfterAbsent(master: Master, sid: number, did: number): Coroutine<void> {
    const { invalidation, mode } = this.vtd;
    yield* invalidation.context(did, sid);
    if (mode === 'legacy') yield* invalidation.domain(did);
    yield* invalidation.device(master);
  }

  *isPresent(sid: number): Coroutine<boolean> {
    const word = new Uint32Array(2);
    yield* this.vtd.device.dma.load64(this.addressOf(sid), word);
    return (word[0]! & 1) !== 0;
  }
}
