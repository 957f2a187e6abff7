import { FAULT } from './faults.js';

/** Entries with an FPD bit (vtd.md 2, 5). */
export type FpdHolder = 'context' | 'directory' | 'pasid' | 'irte';

/** Whether an ATS translation request with that condition completes without rights (`recoverable`) or with an error (vtd.md 5.3). */
export type FaultClass = 'recoverable' | 'non-recoverable' | 'unknown';

/** What is known about one fault reason. */
export interface FaultReason {
  /** {@link FAULT} value. */
  readonly reason: number;
  /** Name of the condition in the specification, as `SFS.2`; empty when it has none. */
  readonly id: string;
  readonly meaning: string;
  /** Whose FPD=1 suppresses the record; empty: always recorded, or not known. */
  readonly qualifiedBy: readonly FpdHolder[];
  readonly class: FaultClass;
}

const NONE: readonly FpdHolder[] = [];
const CTX: readonly FpdHolder[] = ['context'];
const DIR: readonly FpdHolder[] = ['context', 'directory'];
const ANY: readonly FpdHolder[] = ['context', 'directory', 'pasid'];
const IRTE: readonly FpdHolder[] = ['irte'];

const row = (
  reason: number,
  id: string,
  meaning: string,
  qualifiedBy: readonly FpdHolder[],
  faultClass: FaultClass = 'non-recoverable',
): [number, FaultReason] => [reason, { reason, id, meaning, qualifiedBy, class: faultClass }];

/** Every fault reason by number (vtd.md 5.1, 5.2). 0x27 to 0x29, 0x33, 0x7d, 0x88 and 0x89 are from one source. */
export const FAULT_REASONS: ReadonlyMap<number, FaultReason> = new Map([
  row(FAULT.SOFTWARE, '', 'for software', NONE),
  row(FAULT.ROOT_NOT_PRESENT, 'LRT.2', 'root entry not present', NONE),
  row(FAULT.CONTEXT_NOT_PRESENT, 'LCT.2', 'context entry not present', CTX),
  row(FAULT.CONTEXT_INVALID, 'LCT.4', 'context entry invalid, or its table cannot be read', CTX),
  row(FAULT.ADDRESS_BEYOND, 'LGN.1', 'address beyond the width', CTX),
  row(FAULT.WRITE, 'LGN.2', 'write not permitted', CTX, 'recoverable'),
  row(FAULT.READ, 'LGN.3', 'read not permitted, or not present', CTX, 'recoverable'),
  row(FAULT.TABLE_ACCESS, 'LSL.1', 'second-stage entry cannot be read', CTX),
  row(FAULT.ROOT_ACCESS, 'LRT.1', 'root entry cannot be read', NONE),
  row(FAULT.CONTEXT_ACCESS, 'LCT.1', 'context entry cannot be read', NONE),
  row(FAULT.ROOT_RESERVED, 'LRT.3', 'reserved bits in the root entry', NONE),
  row(FAULT.CONTEXT_RESERVED, 'LCT.3', 'reserved bits in the context entry', CTX),
  row(FAULT.TABLE_RESERVED, 'LSL.2', 'reserved bits in a second-stage entry', CTX),
  row(FAULT.BLOCKED, 'LCT.5', 'translation or translated request blocked by TT', CTX),
  row(FAULT.INTERRUPT_RANGE, 'LGN.4', 'translated address in the interrupt range', CTX),
  row(FAULT.IR_RESERVED, 'IR', 'reserved bits in an interrupt request', NONE),
  row(FAULT.IR_INDEX, 'IR', 'interrupt index beyond the table', NONE),
  row(FAULT.IRTE_NOT_PRESENT, 'IR', 'interrupt entry not present', IRTE),
  row(FAULT.IRTE_ACCESS, 'IR', 'interrupt entry cannot be read', NONE),
  row(FAULT.IRTE_RESERVED, 'IR', 'reserved bits in the interrupt entry', IRTE),
  row(FAULT.IR_COMPATIBILITY, 'IR', 'compatibility-format interrupt blocked', NONE),
  row(FAULT.IR_SOURCE, 'IR', 'interrupt from a wrong requester', IRTE),
  row(FAULT.POSTED_ACCESS, 'IR', 'posted descriptor cannot be read', IRTE),
  row(FAULT.POSTED_RESERVED, 'IR', 'reserved bits in the posted descriptor', IRTE),
  row(FAULT.IR_FORM, 'IR', 'interrupt request form not allowed with or without PASID', NONE),
  row(FAULT.TTM, 'RTA.1', 'translation table mode reserved or not supported', NONE),
  row(FAULT.TTM_PASID, 'RTA.2', 'request with PASID in legacy mode', NONE),
  row(FAULT.TTM_PAGE_REQUEST, 'RTA.3', 'page request in legacy mode', NONE),
  row(FAULT.TTM_ABORT, 'RTA.4', 'blocked by abort-DMA mode', NONE),
  row(FAULT.SM_ROOT_ACCESS, 'SRT.1', 'root entry cannot be read', NONE),
  row(FAULT.SM_ROOT_NOT_PRESENT, 'SRT.2', 'half of the root entry not present', NONE),
  row(FAULT.SM_ROOT_RESERVED, 'SRT.3', 'reserved bits in the half of the root entry', NONE),
  row(FAULT.SM_CONTEXT_ACCESS, 'SCT.1', 'context entry cannot be read', NONE),
  row(FAULT.SM_CONTEXT_NOT_PRESENT, 'SCT.2', 'context entry not present', CTX),
  row(FAULT.SM_CONTEXT_RESERVED, 'SCT.3', 'reserved bits in the context entry', CTX),
  row(FAULT.SM_CONTEXT_INVALID, 'SCT.4', 'context entry invalid', CTX),
  row(FAULT.SM_DTE, 'SCT.5', 'translation or translated request with DTE=0', CTX),
  row(FAULT.SM_PASIDE, 'SCT.6', 'request with PASID with PASIDE=0', CTX),
  row(FAULT.SM_PASID_LIMIT, 'SCT.7', 'PASID beyond the directory', CTX),
  row(FAULT.SM_PRE, 'SCT.8', 'page request with PRE=0', CTX),
  row(FAULT.SM_RID_PASID, 'SCT.9', 'RID_PASID field error', CTX),
  row(FAULT.PASID_DIR_ACCESS, 'SPD.1', 'PASID directory entry cannot be read', NONE),
  row(FAULT.PASID_DIR_NOT_PRESENT, 'SPD.2', 'PASID directory entry not present', DIR),
  row(FAULT.PASID_DIR_RESERVED, 'SPD.3', 'reserved bits in the PASID directory entry', DIR),
  row(FAULT.PASID_ACCESS, 'SPT.1', 'PASID entry cannot be read', NONE),
  row(FAULT.PASID_NOT_PRESENT, 'SPT.2', 'PASID entry not present', ANY),
  row(FAULT.PASID_RESERVED, 'SPT.3', 'reserved bits in the PASID entry', ANY),
  row(FAULT.PASID_INVALID, 'SPT.4', 'PASID entry invalid: PGTT, AW or FLPM', ANY),
  row(FAULT.PASID_ERE, 'SPT.5', 'execute request with ERE=0', ANY),
  row(FAULT.PASID_SRE, 'SPT.6', 'supervisor request with SRE=0', ANY),
  row(FAULT.FS_ACCESS, 'SFS.1', 'first-stage entry cannot be read', ANY),
  row(FAULT.FS_NOT_PRESENT, 'SFS.2', 'first-stage entry not present', ANY, 'recoverable'),
  row(FAULT.FS_RESERVED, 'SFS.3', 'reserved bits in a first-stage entry', ANY),
  row(FAULT.FS_TOP_ACCESS, 'SFS.4', 'top first-stage entry cannot be read', ANY),
  row(FAULT.NESTED_ADDRESS, 'SFS.5', 'nested: first-stage table beyond the second stage', ANY),
  row(FAULT.NESTED_TOP_READ, 'SFS.6', 'nested: top first-stage table not readable', ANY, 'recoverable'),
  row(FAULT.NESTED_READ, 'SFS.7', 'nested: first-stage table not readable', ANY, 'recoverable'),
  row(FAULT.NESTED_FLAG_WRITE, 'SFS.8', 'nested: first-stage table not writable for flags', ANY, 'recoverable'),
  row(FAULT.SS_ACCESS, 'SSS.1', 'second-stage entry cannot be read', ANY),
  row(FAULT.SS_NOT_PRESENT, 'SSS.2', 'second-stage entry not present', ANY, 'recoverable'),
  row(FAULT.SS_RESERVED, 'SSS.3', 'reserved bits in a second-stage entry', ANY),
  row(FAULT.SS_TOP_ACCESS, 'SSS.4', 'top second-stage entry cannot be read', ANY),
  row(FAULT.SS_FLAG_SNOOP, 'SSS.5', 'second-stage flag needs an update and PWSNP=0', ANY),
  row(FAULT.SS_FLAG_UPDATE, 'SSS.6', 'second-stage flag update failed', ANY),
  row(FAULT.SM_NOT_CANONICAL, 'SGN.1', 'address not canonical', ANY),
  row(FAULT.SM_USER, 'SGN.2', 'user request to a supervisor page', ANY, 'recoverable'),
  row(FAULT.SM_EXECUTE, 'SGN.3', 'execute not permitted', ANY, 'recoverable'),
  row(FAULT.SM_OUTPUT_BEYOND, 'SGN.4', 'output address beyond the width', ANY),
  row(FAULT.SM_INPUT_BEYOND, 'SGN.5', 'address beyond the second-stage width', ANY),
  row(FAULT.SM_WRITE, 'SGN.6', 'write not permitted', ANY, 'recoverable'),
  row(FAULT.SM_READ, 'SGN.7', 'read not permitted', ANY, 'recoverable'),
  row(FAULT.SM_INTERRUPT_RANGE, 'SGN.8', 'translated address in the interrupt range', ANY),
  row(FAULT.SGN_9, 'SGN.9', 'not described', NONE, 'unknown'),
  row(FAULT.SGN_10, 'SGN.10', 'not described', NONE, 'unknown'),
  row(FAULT.FS_FLAG_SNOOP, 'SFS.9', 'first-stage flag needs an update and PWSNP=0', ANY),
  row(FAULT.FS_FLAG_UPDATE, 'SFS.10', 'first-stage flag update failed', ANY),
]);

/** FPD of each entry that was read, the one that is not present included; an entry not read is left out. */
export type FpdBits = Readonly<Partial<Record<FpdHolder, boolean>>>;

/** Whether a fault is blocked silently: its reason is qualified and an entry that qualifies it has FPD=1 (vtd.md 5.2). */
export const isSuppressed = (reason: number, fpd: FpdBits): boolean =>
  FAULT_REASONS.get(reason)?.qualifiedBy.some((holder) => fpd[holder] === true) ?? false;
