export { type AsidOwner, Asids } from './asids.js';
export { BATCH_COMMANDS, CommandBatch } from './command-batch.js';
export { CommandQueue } from './command-queue.js';
export {
  type Context,
  liveContext,
  noContext,
  quiescedContext,
  silence,
  type TableFeatures,
} from './context-descriptors.js';
export { ContextTables } from './context-tables.js';
export { DeviceFeatures } from './device-features.js';
export { DmaDomains } from './dma-domains.js';
export { DomainNotifier } from './domain-notifier.js';
export { Domains } from './domains.js';
export { Smmuv3Driver } from './driver.js';
export { CONTEXT_DESCRIPTOR, STREAM_ENTRY } from './entry-kinds.js';
export { type EntryKind, EntryWriter, type TableEntry } from './entry-writer.js';
export {
  type AliasRecord,
  type CommandErrorRecord,
  type CommandTimeoutRecord,
  type GlobalErrorRecord,
  smmuAlias,
  smmuCommandError,
  smmuCommandTimeout,
  smmuGlobalError,
} from './error-points.js';
export { type EventRecord, type PageRequestRecord, smmuEvent, smmuPageRequest } from './event-points.js';
export { Events } from './events.js';
export type { SmmuFeatures } from './features.js';
export { GlobalErrors } from './global-errors.js';
export { Invalidation, wholeAsidPages } from './invalidate.js';
export {
  type InvalidationTarget,
  type InvalidationTargets,
  mergeTargets,
  purgeTargets,
  TARGET,
  type TargetKey,
  type TargetType,
  trashIn,
  unrefTargets,
} from './invalidation-targets.js';
export { Masters } from './masters.js';
export { smmuv3Driver } from './module.js';
export { OutputQueue, type OutputQueueRegisters } from './output-queue.js';
export { PageRequests } from './page-requests.js';
export { type Smmuv3Parts, smmuv3Parts } from './parts.js';
export { PrivateContexts } from './private-contexts.js';
export { domainRefusals, driverRefusals, readFeatures, svaRefusals, usesLargeAddresses } from './probe.js';
export type { Bond, ContextTable, Domain, Master, NotifierObject, PrivateContext, SharedContext } from './records.js';
export { Reset } from './reset.js';
export { RingPositions } from './ring-positions.js';
export { type QueueSizes, queueSizes, type SvaSettings, svaSettings, switches } from './settings.js';
export { SharedContexts } from './shared-contexts.js';
export type { Smmu } from './smmu.js';
export { abortStream, bypassStream, type StageOneStream, stageOneStream } from './stream-entries.js';
export { StreamTable } from './stream-table.js';
export { Sva } from './sva.js';
export { SvaCallbacks } from './sva-callbacks.js';
export { SvaEntries } from './sva-entries.js';
export { SvaNotifiers } from './sva-notifiers.js';
export type { TlbTarget } from './tlb-commands.js';
export { leafLevel, type TlbRange, tlbRanges } from './tlb-ranges.js';
export { type OverflowRecord, smmuAsidSeize, smmuOverflow, smmuSva } from './trace-points.js';
