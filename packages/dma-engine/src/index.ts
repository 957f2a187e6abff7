export {
  type Capabilities,
  DEFAULT_CAPABILITIES,
  type EngineCapabilities,
  PLATFORM_CAPABILITIES,
  type PlatformCapabilities,
} from './capabilities.js';
export { DmaEngineDriver } from './driver.js';
export { EduDriver } from './edu-driver.js';
export { eduDriver } from './edu-module.js';
export {
  EDU_BUFFER,
  EDU_COMMAND,
  EDU_COUNT,
  EDU_DESTINATION,
  EDU_ID,
  EDU_IDENTIFICATION,
  EDU_INTERRUPT_ACKNOWLEDGE,
  EDU_INTERRUPT_STATUS,
  EDU_SOURCE,
  EDU_TRANSFER_NS,
} from './edu-registers.js';
export { DmaEngine } from './endpoint.js';
export { Engine } from './engine.js';
export { EngineDevice } from './engine-device.js';
export type { EngineFile, EngineState } from './engine-file.js';
export { HOSTILE_PROGRAMS, type HostileProgram } from './hostile-programs.js';
export type { Job, JobOutcome, JobResult, Operation } from './job.js';
export { JobRunner } from './job-runner.js';
export { MemoryPort, type Target } from './memory-port.js';
export { dmaEngine, dmaEngineDriver, dmaEnginePlatform, type EngineDriverParts, type EngineParts } from './module.js';
export { INTERRUPT_LINE, PlatformEngine } from './platform-engine.js';
export { PlatformPort } from './platform-port.js';
export { RegisterFile } from './register-file.js';
export { JOB_STATUS, OPCODE, REGISTERS, USER_PAGE } from './registers.js';
export { switches } from './switches.js';
export { engineDma, engineJob, engineStop, engineTranslate } from './tracepoints.js';
export { type PendingAccess, REFUSED, UntranslatedPort } from './untranslated-port.js';
export type { Cursor, Work } from './work.js';
