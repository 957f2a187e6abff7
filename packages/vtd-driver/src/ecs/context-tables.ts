import type { Coroutine } from '@iommukit/kernel';
import { FIRST_STAGE_DID } from '@iommukit/vtd-spec';
import { ContextTables } from '../context-tables.js';
import type { Domain, Master } from '../records.js';
import { chooseWidth, type SecondStage } from '../second-stage-entries.js';
import { extendedContext } from './entries.js';

const TABLE_BYTES = 4096;

/**
 * Context entries of the extended-context mode: each says where requests without PASID go, and where the unit's PASID table
 * is (vtd.md 2.3, 2.4). A device outside every domain has a second stage that maps nothing.
 */
export class EcsContextTables extends ContextTables {
  /** `nothing`: a second-stage table without entries. */
  readonly empty = { nothing: 0 };

  override *prepare(): Coroutine<void> {
    yield* super.prepare();
    this.vtd.kernel.checkpoints.keep(this.empty);
    this.empty.nothing = yield* this.vtd.device.dma.alloc(TABLE_BYTES, `${this.vtd.name} page table`);
  }

  /** The tag of what a device translates: its domain's, or that of all devices without one. */
  didOf({ domain }: Master): number {
    return domain?.did ?? FIRST_STAGE_DID;
  }

  override *install(master: Master): Coroutine<void> {
    yield* this.writeAll(master, master.domain);
  }

  override *remove(master: Master): Coroutine<void> {
    yield* this.clearAll(master, this.didOf(master));
  }

  /** Sends the requests without PASID elsewhere: the entry goes, and comes back as another (VTD-51, VTD-45). */
  *replace(master: Master, did: number, domain: Domain | null): Coroutine<void> {
    yield* this.clearAll(master, did);
    yield* this.writeAll(master, domain);
  }

  *writeAll(master: Master, domain: Domain | null): Coroutine<void> {
    const image = this.imageFor(master, domain);
    for (const sid of master.device.streams) yield* this.write(sid, image, domain?.did ?? FIRST_STAGE_DID);
  }

  *clearAll(master: Master, did: number): Coroutine<void> {
    for (const sid of master.device.streams) yield* this.clear(master, sid, did);
  }

  override image(master: Master): Uint32Array {
    return this.imageFor(master, master.domain);
  }

  imageFor({ directory, noAts, noPri, pasidBits }: Master, domain: Domain | null): Uint32Array {
    const { pa, states = 0, entries = 0 } = directory!;
    return extendedContext({
      second: this.secondStage(domain),
      table: pa,
      states,
      entries,
      pasids: pasidBits > 0,
      ats: noAts === '',
      pri: noPri === '',
    });
  }

  secondStage(domain: Domain | null): SecondStage {
    if (domain !== null) return this.vtd.dmaDomains.secondStage(domain);
    return { pgd: this.empty.nothing, aw: chooseWidth(this.vtd.features) ?? 2, did: FIRST_STAGE_DID };
  }

  /** VTD-45: the entry is flushed in any case; with caching mode also what was taken for absent, under domain 0 (VTD-15). */
  override *flushAfterPresent(sid: number, did: number): Coroutine<void> {
    const { features, invalidation, reset } = this.vtd;
    yield* reset.flushWriteBuffers();
    yield* invalidation.context(did, sid);
    if (!features.cm) return;
    yield* invalidation.context(0, sid);
    yield* invalidation.domain(did);
  }

  /** VTD-51: translations without PASID are tagged with the domain of the entry, as in legacy mode. */
  override *flushAfterAbsent(master: Master, sid: number, did: number): Coroutine<void> {
    const { invalidation } = this.vtd;
    yield* invalidation.context(did, sid);
    yield* invalidation.domain(did);
    yield* invalidation.device(master);
  }
}
