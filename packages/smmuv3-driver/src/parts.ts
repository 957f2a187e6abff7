import { DeviceGroups } from '@iommukit/core';
import { IopfQueue } from '@iommukit/iopf-queue';
import { Asids } from './asids.js';
import { CommandQueue } from './command-queue.js';
import { ContextTables } from './context-tables.js';
import { DeviceFeatures } from './device-features.js';
import { DmaDomains } from './dma-domains.js';
import { Domains } from './domains.js';
import { EntryWriter } from './entry-writer.js';
import { Events } from './events.js';
import { GlobalErrors } from './global-errors.js';
import { Invalidation } from './invalidate.js';
import { Masters } from './masters.js';
import { PageRequests } from './page-requests.js';
import { PrivateContexts } from './private-contexts.js';
import type { Master } from './records.js';
import { Reset } from './reset.js';
import { SharedContexts } from './shared-contexts.js';
import type { Smmu } from './smmu.js';
import { StreamTable } from './stream-table.js';
import { Sva } from './sva.js';

/** A service's class. */
type Part<T> = new (smmu: Smmu) => T;

/** The classes that the driver is made from: a subclass of one changes one step. */
export interface Smmuv3Parts {
  readonly Asids: Part<Asids>;
  readonly CommandQueue: Part<CommandQueue>;
  readonly ContextTables: Part<ContextTables>;
  readonly DeviceFeatures: Part<DeviceFeatures>;
  readonly DeviceGroups: Part<DeviceGroups<Master>>;
  readonly DmaDomains: Part<DmaDomains>;
  readonly Domains: Part<Domains>;
  readonly EntryWriter: typeof EntryWriter;
  readonly Events: Part<Events>;
  readonly GlobalErrors: Part<GlobalErrors>;
  readonly Invalidation: Part<Invalidation>;
  readonly IopfQueue: typeof IopfQueue;
  readonly Masters: Part<Masters>;
  readonly PageRequests: Part<PageRequests>;
  readonly PrivateContexts: Part<PrivateContexts>;
  readonly Reset: Part<Reset>;
  readonly SharedContexts: Part<SharedContexts>;
  readonly StreamTable: Part<StreamTable>;
  readonly Sva: Part<Sva>;
}

/** The default parts. */
export const smmuv3Parts: Smmuv3Parts = {
  Asids,
  CommandQueue,
  ContextTables,
  DeviceFeatures,
  DeviceGroups,
  DmaDomains,
  Domains,
  EntryWriter,
  Events,
  GlobalErrors,
  Invalidation,
  IopfQueue,
  Masters,
  PageRequests,
  PrivateContexts,
  Reset,
  SharedContexts,
  StreamTable,
  Sva,
};
