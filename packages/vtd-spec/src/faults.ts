import { address, bits, dw, enumOf, ro, table, w1c } from '@iommukit/bitfield';
import { ADDRESS_TYPE } from './values.js';

/** Fault reasons, FRCD.FR; what they mean and which FPD suppresses them is in `FAULT_REASONS` (vtd.md 5.1, 5.2). */
export const FAULT = enumOf({
  SOFTWARE: 0x00,
  ROOT_NOT_PRESENT: 0x01,
  CONTEXT_NOT_PRESENT: 0x02,
  CONTEXT_INVALID: 0x03,
  ADDRESS_BEYOND: 0x04,
  WRITE: 0x05,
  READ: 0x06,
  TABLE_ACCESS: 0x07,
  ROOT_ACCESS: 0x08,
  CONTEXT_ACCESS: 0x09,
  ROOT_RESERVED: 0x0a,
  CONTEXT_RESERVED: 0x0b,
  TABLE_RESERVED: 0x0c,
  BLOCKED: 0x0d,
  INTERRUPT_RANGE: 0x0e,
  IR_RESERVED: 0x20,
  IR_INDEX: 0x21,
  IRTE_NOT_PRESENT: 0x22,
  IRTE_ACCESS: 0x23,
  IRTE_RESERVED: 0x24,
  IR_COMPATIBILITY: 0x25,
  IR_SOURCE: 0x26,
  POSTED_ACCESS: 0x27,
  POSTED_RESERVED: 0x28,
  IR_FORM: 0x29,
  TTM: 0x30,
  TTM_PASID: 0x31,
  TTM_PAGE_REQUEST: 0x32,
  TTM_ABORT: 0x33,
  SM_ROOT_ACCESS: 0x38,
  SM_ROOT_NOT_PRESENT: 0x39,
  SM_ROOT_RESERVED: 0x3a,
  SM_CONTEXT_ACCESS: 0x40,
  SM_CONTEXT_NOT_PRESENT: 0x41,
  SM_CONTEXT_RESERVED: 0x42,
  SM_CONTEXT_INVALID: 0x43,
  SM_DTE: 0x44,
  SM_PASIDE: 0x45,
  SM_PASID_LIMIT: 0x46,
  SM_PRE: 0x47,
  SM_RID_PASID: 0x48,
  PASID_DIR_ACCESS: 0x50,
  PASID_DIR_NOT_PRESENT: 0x51,
  PASID_DIR_RESERVED: 0x52,
  PASID_ACCESS: 0x58,
  PASID_NOT_PRESENT: 0x59,
  PASID_RESERVED: 0x5a,
  PASID_INVALID: 0x5b,
  PASID_ERE: 0x5c,
  PASID_SRE: 0x5d,
  FS_ACCESS: 0x70,
  FS_NOT_PRESENT: 0x71,
  FS_RESERVED: 0x72,
  FS_TOP_ACCESS: 0x73,
  NESTED_ADDRESS: 0x74,
  NESTED_TOP_READ: 0x75,
  NESTED_READ: 0x76,
  NESTED_FLAG_WRITE: 0x77,
  SS_ACCESS: 0x78,
  SS_NOT_PRESENT: 0x79,
  SS_RESERVED: 0x7a,
  SS_TOP_ACCESS: 0x7b,
  SS_FLAG_SNOOP: 0x7c,
  SS_FLAG_UPDATE: 0x7d,
  SM_NOT_CANONICAL: 0x80,
  SM_USER: 0x81,
  SM_EXECUTE: 0x82,
  SM_OUTPUT_BEYOND: 0x83,
  SM_INPUT_BEYOND: 0x84,
  SM_WRITE: 0x85,
  SM_READ: 0x86,
  SM_INTERRUPT_RANGE: 0x87,
  SGN_9: 0x88,
  SGN_10: 0x89,
  FS_FLAG_SNOOP: 0x90,
  FS_FLAG_UPDATE: 0x91,
});

/** What a faulting request wanted: T1 and T2 of a fault record as `T1 << 1 | T2` (vtd.md 1.8). */
export const FAULT_TYPE = enumOf({ WRITE: 0, PAGE_REQUEST: 1, READ: 2, ATOMIC: 3 });

/** Bytes of a fault record; record n is at CAP.FRO*16 + 16*n (vtd.md 1.8). */
export const FRCD_BYTES = 16;

const options = { ref: 'vtd.md 1.8', gaps: 'reserved-zero' } as const;
const cause = dw(1, {
  sid: ro(bits(15, 0, 'requester')),
  t2: ro(28, 'with T1: 00 write, 01 page request, 10 read, 11 atomic'),
  priv: ro(29, 'privileged, valid with PP=1'),
  exe: ro(30, 'execute, valid with PP=1'),
  pp: ro(31, 'PASID present'),
  fr: ro(bits(39, 32, FAULT, 'why')),
  pv: ro(bits(59, 40, 'PASID; without a meaning when PP=0')),
  at: ro(bits(61, 60, ADDRESS_TYPE, 'address type of the request')),
  t1: ro(62, '1 read or atomic, 0 write or page request'),
  f: w1c(63, 'the record holds a fault; written last'),
});

/** Fault record of a DMA request. */
export const FRCD = table('FRCD', FRCD_BYTES, options, { fi: ro(address(63, 12, 'page of the request')), ...cause });

/** Fault record of an interrupt request. */
export const InterruptFRCD = table('interrupt FRCD', FRCD_BYTES, options, {
  index: ro(bits(63, 48, 'interrupt index: FI[63:48]')),
  ...cause,
});

/** Which halves of a fault record software reads, in bytes from its start: word 3 first, it ends at F=0 (vtd.md 1.8). */
export const FRCD_WORDS = { fiLow: 0, fiHigh: 4, source: 8, reason: 12 } as const;

/** F within word 3 of a fault record, which software writes to clear the record (vtd.md 1.8). */
export const FRCD_F = 0x80000000;

/** T1 and T2 of a fault record, by {@link FAULT_TYPE}. */
export const faultTypeBits = (type: number): { readonly t1: number; readonly t2: number } => ({
  t1: type >>> 1,
  t2: type & 1,
});
