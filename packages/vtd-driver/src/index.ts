export { ContextTables } from './context-tables.js';
export { BATCH_DESCRIPTORS, DescriptorBatch } from './descriptor-batch.js';
export { DeviceFeatures } from './device-features.js';
export { DmaDomains } from './dma-domains.js';
export { Drain } from './drain.js';
export { VtdDriver } from './driver.js';
export { EcsContextTables } from './ecs/context-tables.js';
export { EcsDmaDomains } from './ecs/dma-domains.js';
export { type ExtendedContext, extendedContext, extendedEntry } from './ecs/entries.js';
export { EcsInvalidation } from './ecs/invalidate.js';
export { EcsPageRequests, readExtendedRequest } from './ecs/page-requests.js';
export { ecsParts } from './ecs/parts.js';
export { EcsPasidTables } from './ecs/pasid-tables.js';
export { EcsSupervisor, EcsSva } from './ecs/sva.js';
export { type FaultRecord, type FaultStatusRecord, vtdFault, vtdFaultStatus } from './fault-points.js';
export { type EventBlock, Faults } from './faults.js';
export type { VtdFeatures } from './features.js';
export { Invalidation, type Span } from './invalidate.js';
export { InvalidationQueue, type PendingBatch, SLOT } from './invalidation-queue.js';
export { KernelTables } from './kernel-tables.js';
export { Masters } from './masters.js';
export { vtdDriver } from './module.js';
export {
  prqReport,
  type RefusedRecord,
  type ReportRecord,
  vtdPageRequest,
  vtdPrqOverflow,
} from './page-request-points.js';
export { PageRequestQueue, type Pointers } from './page-request-queue.js';
export { readRequest, reported, rightsOf, type WrittenRequest } from './page-request-record.js';
export { OBJECTION, PageRequests } from './page-requests.js';
export { type CommonParts, type VtdParts, vtdParts } from './parts.js';
export {
  blockedWord,
  type FirstStage,
  firstStageEntry,
  QUIET,
  type ScalableContext,
  scalableContext,
} from './pasid-entries.js';
export { type EntryState, PasidTables } from './pasid-tables.js';
export { driverRefusals, modeOf, readFeatures, requestRefusal, svaRefusals } from './probe.js';
export { QueueErrors } from './queue-errors.js';
export {
  type QueueErrorRecord,
  type QueueTimeoutRecord,
  qiSubmit,
  type SubmitRecord,
  vtdAlias,
  vtdQueueError,
  vtdQueueTimeout,
} from './queue-points.js';
export type { Bond, Domain, Master, PasidDirectory, Svm } from './records.js';
export { Reset } from './reset.js';
export {
  chooseWidth,
  domainRefusals,
  legacyContext,
  type SecondStage,
  secondStageEntry,
} from './second-stage-entries.js';
export { SecondStageFormat, type SecondStageShape } from './second-stage-format.js';
export { type Mode, type QueueSizes, queueSizeField, queueSizes, switches } from './settings.js';
export { SUPERVISOR_PASIDS, Supervisor, type SupervisorBond } from './supervisor.js';
export { Sva } from './sva.js';
export { SvaCallbacks } from './sva-callbacks.js';
export { SvaEntries } from './sva-entries.js';
export { SvaNotifiers } from './sva-notifiers.js';
export { SvmNotifier } from './svm-notifier.js';
export { type FaultCallback, type HandledRequest, ThreadFaults } from './thread-faults.js';
export { vtdEntryLeft, vtdSupervisorFlush, vtdSva } from './trace-points.js';
export type { Vtd } from './vtd.js';
