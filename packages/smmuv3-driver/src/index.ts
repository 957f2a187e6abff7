export { type AtcSpan, atcSpan } from './atc-range.js';
export { BATCH_COMMANDS, CommandBatch } from './command-batch.js';
export { CommandQueue } from './command-queue.js';
export { liveContext, noContext, quiescedContext, type SvaContext } from './context-descriptors.js';
export { ContextTables } from './context-tables.js';
export { type CpuFeatures, DEFAULT_CPU } from './cpu-features.js';
export { DeviceFeatures } from './device-features.js';
export { DomainNotifier } from './domain-notifier.js';
export { Domains } from './domains.js';
export { Smmuv3Driver } from './driver.js';
export { CONTEXT_DESCRIPTOR, STREAM_ENTRY } from './entry-kinds.js';
export { type EntryKind, EntryWriter, type TableEntry } from './entry-writer.js';
export { Events } from './events.js';
export type { Refusal, SmmuFeatures } from './features.js';
export { GlobalErrors } from './global-errors.js';
export { Invalidation, WHOLE_ASID_PAGES } from './invalidate.js';
export { Masters } from './masters.js';
export { smmuv3Driver } from './module.js';
export { OutputQueue, type OutputQueueRegisters } from './output-queue.js';
export { EVERYTHING, type PageRange, pageCount, pagesOf } from './page-range.js';
export { PageRequests } from './page-requests.js';
export { type Smmuv3Parts, smmuv3Parts } from './parts.js';
export { driverRefusals, readFeatures, svaRefusals } from './probe.js';
export type { Bond, ContextTable, Domain, Master, NotifierObject, SharedContext } from './records.js';
export { Reset } from './reset.js';
export { RingPositions } from './ring-positions.js';
export { type QueueSizes, queueSizes, switches } from './settings.js';
export { SharedContexts } from './shared-contexts.js';
export type { Smmu } from './smmu.js';
export { abortStream, type StageOneStream, stageOneStream } from './stream-entries.js';
export { StreamTable } from './stream-table.js';
export { Sva } from './sva.js';
export { type TlbRange, tlbRanges } from './tlb-ranges.js';
export {
  type BondRecord,
  type CommandErrorRecord,
  type EventRecord,
  type GlobalErrorRecord,
  type InvalidateRecord,
  type OverflowRecord,
  type PasidRecord,
  smmuBindAlloc,
  smmuBindGet,
  smmuCommandError,
  smmuEvent,
  smmuGlobalError,
  smmuMmInvalidate,
  smmuMmRelease,
  smmuMnAlloc,
  smmuMnFree,
  smmuMnGet,
  smmuMnPut,
  smmuOverflow,
  smmuUnbindFree,
  smmuUnbindPut,
} from './trace-points.js';
