import { DeviceGroups } from '@iommukit/core';
import { IopfQueue } from '@iommukit/iopf-queue';
import { ContextTables } from './context-tables.js';
import { DeviceFeatures } from './device-features.js';
import { DmaDomains } from './dma-domains.js';
import { Drain } from './drain.js';
import { ecsParts } from './ecs/parts.js';
import { Faults } from './faults.js';
import { Invalidation } from './invalidate.js';
import { InvalidationQueue } from './invalidation-queue.js';
import { KernelTables } from './kernel-tables.js';
import { Masters } from './masters.js';
import { PageRequests } from './page-requests.js';
import { PasidTables } from './pasid-tables.js';
import { QueueErrors } from './queue-errors.js';
import type { Master } from './records.js';
import { Reset } from './reset.js';
import type { Mode } from './settings.js';
import { Supervisor } from './supervisor.js';
import { Sva } from './sva.js';
import { ThreadFaults } from './thread-faults.js';
import type { Vtd } from './vtd.js';

/** A service's class. */
type Part<T> = new (vtd: Vtd) => T;

/** The classes that the driver is made from in any mode. */
export interface CommonParts {
  readonly ContextTables: Part<ContextTables>;
  readonly DeviceFeatures: Part<DeviceFeatures>;
  readonly DeviceGroups: Part<DeviceGroups<Master>>;
  readonly DmaDomains: Part<DmaDomains>;
  readonly Drain: Part<Drain>;
  readonly Faults: Part<Faults>;
  readonly Invalidation: Part<Invalidation>;
  readonly InvalidationQueue: Part<InvalidationQueue>;
  readonly IopfQueue: typeof IopfQueue;
  readonly KernelTables: Part<KernelTables>;
  readonly Masters: Part<Masters>;
  readonly PageRequests: Part<PageRequests>;
  readonly PasidTables: Part<PasidTables>;
  readonly QueueErrors: Part<QueueErrors>;
  readonly Reset: Part<Reset>;
  readonly Supervisor: Part<Supervisor>;
  readonly Sva: Part<Sva>;
  readonly ThreadFaults: Part<ThreadFaults>;
}

/** The classes that the driver is made from: a subclass of one changes one step. */
export interface VtdParts extends CommonParts {
  /** What the extended-context mode (`vtd.mode` = `ecs`) has instead. */
  readonly ecs: Partial<CommonParts>;
}

/** The default parts. */
export const vtdParts: VtdParts = {
  ContextTables,
  DeviceFeatures,
  DeviceGroups,
  DmaDomains,
  Drain,
  Faults,
  Invalidation,
  InvalidationQueue,
  IopfQueue,
  KernelTables,
  Masters,
  PageRequests,
  PasidTables,
  QueueErrors,
  Reset,
  Supervisor,
  Sva,
  ThreadFaults,
  ecs: ecsParts,
};

/** The parts that a mode uses. */
export function partsOf(parts: VtdParts, mode: Mode): CommonParts {
  return mode === 'ecs' ? { ...parts, ...parts.ecs } : parts;
}
