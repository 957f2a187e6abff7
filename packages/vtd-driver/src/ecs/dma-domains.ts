import type { Coroutine } from '@iommukit/kernel';
import { FIRST_STAGE_DID } from '@iommukit/vtd-spec';
import { DmaDomains } from '../dma-domains.js';
import type { Domain, Master } from '../records.js';
import type { EcsContextTables } from './context-tables.js';

/** DMA domains in the extended-context mode: a field of the context entry. */
export class EcsDmaDomains extends DmaDomains {
  get contexts(): EcsContextTables {
    return this.vtd.contexts as EcsContextTables;
  }

  override install(master: Master, domain: Domain): Coroutine<void> {
    return this.contexts.replace(master, FIRST_STAGE_DID, domain);
  }

  override *remove(master: Master, { did }: Domain): Coroutine<void> {
    yield* this.contexts.replace(master, did, null);
    yield* this.drainRequests(master);
  }
}
