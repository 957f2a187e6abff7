export { type Capabilities, DEFAULT_CAPABILITIES } from './capabilities.js';
export { DmaEngineDriver, type EngineFile } from './driver.js';
export { DmaEngine } from './endpoint.js';
export type { Job, JobOutcome, JobResult, Operation } from './job.js';
export { dmaEngine, dmaEngineDriver, type EngineDriverParts, type EngineParts } from './module.js';
export { JOB_STATUS, OPCODE, REGISTERS } from './registers.js';
export { switches } from './switches.js';
export { engineDma, engineJob, engineStop, engineTranslate } from './tracepoints.js';
