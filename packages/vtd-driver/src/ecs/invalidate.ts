import type { PageSpan } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import {
  ECS_IOTLB_GRANULARITY,
  EcsIotlbInv,
  EcsPasidCacheInv,
  FIRST_STAGE_DID,
  FULL_ORDER,
  IOTLB_GRANULARITY,
  PASID_CACHE_GRANULARITY,
} from '@iommukit/vtd-spec';
import type { DescriptorBatch } from '../descriptor-batch.js';
import { Invalidation } from '../invalidate.js';
import type { EcsContextTables } from './context-tables.js';
import type { EcsPasidTables } from './pasid-tables.js';

/** More domains than this are not flushed one by one. */
const FEW = 4;

/** What a type 6 descriptor says, besides the domain. */
interface ExtendedValues {
  readonly g: number;
  readonly pasid?: number;
  readonly am?: number;
  readonly gl?: number;
  readonly addr?: number;
}

/**
 * Invalidation in the extended-context mode. Translations of a PASID are tagged with the domain of the context entry that
 * they came by, so each is asked for in every domain that a device with PASIDs is in.
 */
export class EcsInvalidation extends Invalidation {
  get tables(): EcsPasidTables {
    return this.vtd.pasids as EcsPasidTables;
  }

  /** The domains of the devices that have PASIDs. */
  tags(): number[] {
    const contexts = this.vtd.contexts as EcsContextTables;
    const tags = new Set<number>([FIRST_STAGE_DID]);
    for (const master of this.vtd.masters.byDevice.values()) tags.add(contexts.didOf(master));
    return [...tags].sort((a, b) => a - b);
  }

  /** PASID caches have no global granularity here (vtd.md 3.7): the domains that this driver uses before there is any device. */
  override *everyPasid(): Coroutine<void> {
    for (const did of [0, FIRST_STAGE_DID]) {
      yield* this.one(EcsPasidCacheInv.make({ g: PASID_CACHE_GRANULARITY.DOMAIN, did }));
    }
  }

  override *pasid(_did: number, pasid: number): Coroutine<void> {
    for (const did of this.tags()) {
      yield* this.one(EcsPasidCacheInv.make({ g: PASID_CACHE_GRANULARITY.PASID, did, pasid }));
    }
  }

  override addPasid(batch: DescriptorBatch, _did: number, pasid: number): void {
    if (this.tables.defer(pasid)) return;
    if (this.isGlobal(pasid)) return this.addEach(batch, { g: ECS_IOTLB_GRANULARITY.ALL });
    this.addEach(batch, { g: ECS_IOTLB_GRANULARITY.PASID, pasid });
  }

  override addPasidPages(batch: DescriptorBatch, did: number, pasid: number, range: PageSpan): void {
    const { base, order } = this.spanOf(range);
    if (order >= FULL_ORDER) return this.addPasid(batch, did, pasid);
    if (this.tables.defer(pasid)) return;
    const global = this.isGlobal(pasid) ? 1 : 0;
    this.addEach(batch, { g: ECS_IOTLB_GRANULARITY.PAGE, pasid, am: order, gl: global, addr: base });
  }

  /** VTD-47: pages of the kernel may be global, and those are dropped for all PASIDs, or by the page with GL. */
  isGlobal(pasid: number): boolean {
    return pasid === this.vtd.supervisor.state.pasid;
  }

  /** A descriptor for each domain; where there are many, everything goes. */
  addEach(batch: DescriptorBatch, values: ExtendedValues): void {
    const tags = this.tags();
    if (tags.length > FEW) batch.add(this.iotlbWords({ g: IOTLB_GRANULARITY.GLOBAL }));
    else for (const did of tags) batch.add(EcsIotlbInv.make({ ...values, did }));
  }
}
