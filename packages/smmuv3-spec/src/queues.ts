import { COMMAND_BYTES } from './commands.js';
import { EVENT_BYTES } from './faults.js';
import { PRI_BYTES } from './page-requests.js';

/**
 * An index register counts entries modulo 2^(LOG2SIZE+1): the index in bits [LOG2SIZE-1:0], the wrap bit at LOG2SIZE, which
 * toggles when the index passes the end. Same index: equal wrap is empty, different wrap is full (smmuv3.md 5.6).
 */
export const QUEUES = {
  cmdq: { entryBytes: COMMAND_BYTES },
  eventq: { entryBytes: EVENT_BYTES },
  priq: { entryBytes: PRI_BYTES },
} as const;

/** The largest LOG2SIZE that IDR1 can offer for a queue (smmuv3.md 1.3). */
export const MAX_QUEUE_LOG2SIZE = 19;

/** A queue's base is aligned to its size, and to at least this many bytes (smmuv3.md 1.7). */
export const QUEUE_ALIGN = 32;
