import { ENTRY_ROWS } from './entry-fault-rows.js';
import type { FaultRow } from './fault-setups.js';
import { LEGACY_ROWS } from './legacy-fault-rows.js';
import { TABLE_ROWS } from './table-fault-rows.js';

export { type FaultRow, PAGE, setFpd } from './fault-setups.js';

/** Every fault reason of vtd.md 5.1 and 5.2, provoked in each way that there is. */
export const FAULT_ROWS: readonly FaultRow[] = [...LEGACY_ROWS, ...ENTRY_ROWS, ...TABLE_ROWS];
