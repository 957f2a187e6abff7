import type { CommonParts } from '../parts.js';
import { EcsContextTables } from './context-tables.js';
import { EcsDmaDomains } from './dma-domains.js';
import { EcsInvalidation } from './invalidate.js';
import { EcsPageRequests } from './page-requests.js';
import { EcsPasidTables } from './pasid-tables.js';
import { EcsSupervisor, EcsSva } from './sva.js';

/** What the extended-context mode has instead of scalable mode's parts. */
export const ecsParts: Partial<CommonParts> = {
  ContextTables: EcsContextTables,
  DmaDomains: EcsDmaDomains,
  Invalidation: EcsInvalidation,
  PageRequests: EcsPageRequests,
  PasidTables: EcsPasidTables,
  Supervisor: EcsSupervisor,
  Sva: EcsSva,
};
