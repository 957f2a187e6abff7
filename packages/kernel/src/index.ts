export { type AccessWidth, type Bus, type MachineBus, type MmioTarget, type MmioWindow, PhysicalBus } from './bus.js';
export { CacheLines, LINE, type LineKind, type LineRange } from './cache-lines.js';
export {
  type Capabilities,
  type CapabilityRules,
  cannotHave,
  completeCapabilities,
  type SwitchEffect,
  withEffects,
} from './capabilities.js';
export { type Checkpoint, Checkpoints, type Keeper } from './checkpoint.js';
export { DirectedChooser, isDirected, type Order, type OrderedStep } from './chooser/directed.js';
export { FairChooser } from './chooser/fair.js';
export { RandomChooser } from './chooser/random.js';
export { ReplayChooser } from './chooser/replay.js';
export { Rng } from './chooser/rng.js';
export { Clock, type Timer } from './clock.js';
export { Completion } from './completion.js';
export { CoherentMemory, type DmaMemory } from './dma-memory.js';
export { assert, type ErrorCode, IommuError, isIommuError } from './errors.js';
export { ForeignPoll, type ForeignTime } from './foreign.js';
export { type FrameMemory, FrameSpace } from './frame-space.js';
export { FrameAllocator, type FrameRegion, type FrameStore, type Frames } from './frames.js';
export { GracePeriods } from './grace-periods.js';
export { IdAllocator } from './id-allocator.js';
export { Injection } from './injection.js';
export { type InterruptLine, ThreadedInterrupt } from './interrupt.js';
export { Kernel } from './kernel.js';
export { ExclusiveLock } from './lock/exclusive-lock.js';
export { LockOrder } from './lock/lock-order.js';
export { Mutex } from './lock/mutex.js';
export { type RwHold, RwSemaphore } from './lock/rw-semaphore.js';
export { Spinlock } from './lock/spinlock.js';
export { type MemoryRegion, PhysicalMemory, type WordMemory } from './memory.js';
export { BusMmio, type Mmio } from './mmio.js';
export { NO_OBSERVER, Observer } from './observer.js';
export type { HardwarePlace } from './place.js';
export { powerOfTwo } from './power-of-two.js';
export { Refcount } from './refcount.js';
export { type AccessListener, Scheduler } from './scheduler.js';
export { type Slab, UseAfterFree } from './slab.js';
export type { Settings, SwitchDeclaration, Switches } from './switches.js';
export { TlbBroadcast, type TlbInvalidation, type TlbListener, type TlbPort } from './tlb-broadcast.js';
export { type Choices, decodeToken, encodeToken, isTokenError, shortHash, TOKEN_VERSION, TokenError } from './token.js';
export { PrintSink } from './trace/print-sink.js';
export { FtraceSink, JsonSink, jsonValue, PerfettoSink } from './trace/sinks.js';
export { Trace, type TraceEvent, type TracePoint, type TraceSink, tracepoint } from './trace/trace.js';
export {
  type Chooser,
  type Coroutine,
  DEFAULT_LIMITS,
  type Footprint,
  type Limits,
  type Outcome,
  PARK,
  PREEMPT,
  type Setting,
  type Step,
  type Suspension,
  type Task,
  type Violation,
  type Wait,
} from './types.js';
export { WaitQueue } from './wait-queue.js';
export { type WorkItem, WorkQueue, type WorkQueueOptions } from './work-queue.js';
