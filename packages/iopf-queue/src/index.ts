export type { IopfDevice, IopfFault, IopfGroup } from './iopf-group.js';
export { IopfQueue, type IopfQueueOptions } from './iopf-queue.js';
export { iopfDiscard, iopfGroup } from './tracepoints.js';
