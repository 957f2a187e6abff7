export { type Core, type CoreOptions, type CoreParts, coreParts, createCore } from './core.js';
export { ASID_GENERATION, AsidAllocator, asidIn } from './cpu/asid-allocator.js';
export { Cpu } from './cpu/cpu.js';
export { type CpuFeatures, cpuFeatures, DEFAULT_CPU, type HardwareUpdate } from './cpu/cpu-features.js';
export { type CpuRegisters, sanitisedFeatures } from './cpu/sanitised-features.js';
export { Tlb } from './cpu/tlb.js';
export type { Device } from './device.js';
export type { IoGather } from './domain/io-gather.js';
export { IoPageTables, type IoPageTablesOptions } from './domain/io-page-tables.js';
export type { FaultData, FaultRoute, PartialFault, PendingGroup } from './fault/fault-data.js';
export type { FaultHandler } from './fault/fault-handler.js';
export { FaultReports } from './fault/fault-reports.js';
export { FaultTimeouts } from './fault/fault-timeouts.js';
export {
  FAULT_REASON,
  FAULT_TYPE,
  type PageRequest,
  type PageResponse,
  PERM,
  RESPONSE,
  type ResponseCode,
  type UnrecoverableFault,
} from './faults.js';
export type { FileContent, FilePage } from './file/file-content.js';
export { FilePages } from './file/file-pages.js';
export { Files } from './file/files.js';
export type { FileOps, OpenFile } from './file/open-file.js';
export { PageCache } from './file/page-cache.js';
export { Truncation } from './file/truncation.js';
export type { AllocatorGroup, IoasidOps, Member as AllocatorMember } from './ioasid/allocator-group.js';
export { CustomAllocators } from './ioasid/custom-allocators.js';
export { INVALID_IOASID, type Ioasid, type IoasidGetter, type IoasidSet, type IoasidState } from './ioasid/ioasid.js';
export { IoasidAllocator } from './ioasid/ioasid-allocator.js';
export { IoasidLock } from './ioasid/ioasid-lock.js';
export { IoasidLookups } from './ioasid/ioasid-lookups.js';
export { type IoasidParts, IoasidTable, ioasidParts } from './ioasid/ioasid-table.js';
export { LifelongMmService, LifelongPasids, lifelongPasids } from './ioasid/lifelong-pasids.js';
export {
  IOASID_CHAIN,
  IOASID_PRIORITY,
  type IoasidEvent,
  type IoasidListener,
  type IoasidNotice,
  IoasidNotifications,
  type IoasidRegistration,
  type IoasidScope,
} from './ioasid/notifications.js';
export { NumberSpace } from './ioasid/number-space.js';
export { SENTINELS, unsetPasid } from './ioasid/sentinels.js';
export { ioasidLost } from './ioasid/tracepoints.js';
export type { BindOptions, DmaDomain, Feature, IommuDriver, SvaHandle } from './iommu-driver.js';
export { type AnyMaster, type MasterServices, Masters } from './masters.js';
export { type AddressSpaceFormat, ENTRY, type EntryKind, LEAF } from './mm/address-space-format.js';
export { Advice } from './mm/advice.js';
export { Collapse } from './mm/collapse.js';
export { CopyOnWrite } from './mm/copy-on-write.js';
export { DisplacedPages } from './mm/displaced-pages.js';
export { FAULT_ERROR, FAULT_FLAG, FAULT_RESULT } from './mm/fault-flags.js';
export { Forking } from './mm/forking.js';
export { formatOf } from './mm/formats/format-of.js';
export { VMSA_4K_48 } from './mm/formats/vmsa-4k-48.js';
export { VmsaFormat } from './mm/formats/vmsa-format.js';
export { X86Format } from './mm/formats/x86-format.js';
export { cover, type Gather, isEmpty, newGather } from './mm/gather.js';
export { type FoundLeaf, LeafEntries } from './mm/leaf-entries.js';
export { type MapOptions, type MappingRequest, Mappings, MMAP_TOP } from './mm/mappings.js';
export { Migration } from './mm/migration.js';
export { type Mm, NO_PASID } from './mm/mm.js';
export { MmService } from './mm/mm-service.js';
export { OomReaper } from './mm/oom-reaper.js';
export { AGAIN, PageFaults } from './mm/page-faults.js';
export { PageFrames } from './mm/page-frames.js';
export { type Move, PageMover } from './mm/page-mover.js';
export type { PageRange } from './mm/page-range.js';
export { type Bounds, type Leaf, PageTables } from './mm/page-tables.js';
export { PLACEHOLDER, type PlaceholderKind, placeholderNumber, placeholderOf } from './mm/placeholders.js';
export { Protection } from './mm/protection.js';
export { RangeFlush } from './mm/range-flush.js';
export { Reclaim } from './mm/reclaim.js';
export { type RemapOptions, Remapping } from './mm/remapping.js';
export { type Place, ReverseMap } from './mm/reverse-map.js';
export { StackGrowth } from './mm/stack-growth.js';
export { Swap, type SwapSlot } from './mm/swap.js';
export { Swapping } from './mm/swapping.js';
export { type LeafOptions, TableBlocks } from './mm/table-blocks.js';
export type { TableRoot } from './mm/table-root.js';
export { type Look, TableWalk } from './mm/table-walk.js';
export { type Backing, findVma, highestGap, VMA_FLAG, type Vma } from './mm/vma.js';
export { VmaEdits } from './mm/vma-edits.js';
export type { MmuNotifierOps, Subscription } from './notifier/mmu-notifier.js';
export { MmuNotifiers } from './notifier/mmu-notifiers.js';
export { EVERY_PAGE, type PageSpan, pageCount, spanOf, wholePages } from './notifier/page-span.js';
export { SleepableReaders } from './notifier/sleepable-readers.js';
export type { FileTable } from './process/file-table.js';
export type { Process, Program } from './process/process.js';
export { Processes } from './process/processes.js';
export { SystemCalls } from './process/system-calls.js';
export { type SupervisorHandle, type SupervisorPasids, supervisorPasids } from './supervisor-pasids.js';
export { type AnyBond, type BondMaster, type BondServices, Bonds, type Undo } from './sva/bonds.js';
export { DeviceFeatures, type FeatureMaster, type FeatureServices, type Refusal } from './sva/device-features.js';
export { DeviceGroups, type GroupMember, type GroupServices } from './sva/device-groups.js';
export { SVA_PASIDS, Sva } from './sva/sva.js';
export {
  type BondRecord,
  bondPoint,
  type InvalidateRecord,
  type PasidRecord,
  type ReleaseRecord,
  type SvaPoints,
  svaPoints,
} from './sva/sva-points.js';
export { switches } from './switches.js';
export {
  asidRollover,
  type DevFaultRecord,
  type DevPageResponseRecord,
  devFault,
  devPageResponse,
  faultTimeout,
  fileRelease,
  handleMmFault,
  type MmRangeRecord,
  mmExitMmap,
  mmFork,
  mmFree,
  mmMmap,
  mmMremap,
  mmMunmap,
  processExec,
  processExit,
} from './tracepoints.js';
