export { FaultRequests } from './fault-requests.js';
export type { IopfFault, IopfGroup } from './iopf-group.js';
export { IopfQueue, type IopfQueueOptions } from './iopf-queue.js';
export { iopfDiscard, iopfGroup, iopfLate } from './tracepoints.js';
