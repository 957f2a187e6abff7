import { LINE } from '@iommukit/kernel';
import { AP_TABLE, PageDescriptor, TableDescriptor } from '@iommukit/paging';
import { CLEAN, PRIVILEGED_SHIFT } from '@iommukit/pci-ats';
import { FLAG } from './context-fields.js';

const { READ, WRITE, EXEC } = LINE;
const { af, ng, ap, pxn, uxn, dbm, contiguous } = PageDescriptor.f;
const { pxnTable, uxnTable, apTable } = TableDescriptor.f;

/** Masks in the low word of a leaf. */
export const AF = af.maskLo;
export const NG = ng.maskLo;
/** AP[1] and AP[2] in the low word of a leaf; PXN, UXN, DBM and Contiguous in the high word. */
const USER = 1 << ap.shift;
const READ_ONLY = 2 << ap.shift;
const PXN = pxn.maskHi;
const UXN = uxn.maskHi;
export const DBM = dbm.maskHi;
export const CONTIGUOUS = contiguous.maskHi;
/** What a table descriptor takes from everything below, in its high word. */
const TABLE_PXN = pxnTable.maskHi;
const TABLE_UXN = uxnTable.maskHi;
const TABLE_NO_USER = AP_TABLE.NO_UNPRIVILEGED << apTable.shift;
const TABLE_NO_WRITE = AP_TABLE.NO_WRITE << apTable.shift;
const TABLE_ANY = TABLE_PXN | TABLE_UXN | TABLE_NO_USER | TABLE_NO_WRITE;

/**
 * Rights of a leaf (smmuv3.md 3.2) for unprivileged requests, and {@link PRIVILEGED_SHIFT} bits further up for privileged ones.
 * `inherited`: the high words of the tables above it, or-ed. `control`: {@link FLAG} bits of the context.
 */
export function rightsOf(lo: number, hi: number, inherited: number, control: number, upper: boolean): number {
  if ((control & FLAG.RIGHTS) === 0 && (inherited & TABLE_ANY) === 0) {
    // The common case, by table: benchmark translate-miss-1k.
    return PLAIN_RIGHTS[((lo >>> ap.shift) & 3) | ((hi >>> (pxn.shift - 2)) & 12)];
  }
  return restrictedRights(lo, hi, inherited, control, upper);
}

/**
 * {@link rightsOf} a leaf whose dirty state the SMMU manages: a clean page counts as writable, so that no other right depends on
 * its state; the right to write is replaced by {@link CLEAN} (smmuv3.md 3.5).
 */
export function managedRights(lo: number, hi: number, inherited: number, control: number, upper: boolean): number {
  const rights = rightsOf(lo & ~READ_ONLY, hi, inherited, control, upper);
  const writes = WRITE | (WRITE << PRIVILEGED_SHIFT);
  return (lo & READ_ONLY) === 0 || (rights & writes) === 0 ? rights : (rights & ~writes) | CLEAN;
}

function restrictedRights(lo: number, hi: number, inherited: number, control: number, upper: boolean): number {
  const tables = (control & (upper ? FLAG.HAD1 : FLAG.HAD0)) === 0 ? inherited : 0;
  const wxn = (control & FLAG.WXN) !== 0;
  const writable = (lo & READ_ONLY) === 0 && (tables & TABLE_NO_WRITE) === 0;
  if ((control & FLAG.ONE_PRIVILEGE) !== 0) return onePrivilege(writable, hi, tables, wxn);
  const user = (lo & USER) !== 0 && (tables & TABLE_NO_USER) === 0;
  const userWrite = user && writable;
  const userExec = (hi & UXN) === 0 && (tables & TABLE_UXN) === 0 && !(wxn && userWrite);
  // What unprivileged code can write is never privileged-executable, whatever UWXN says.
  const exec = (hi & PXN) === 0 && (tables & TABLE_PXN) === 0 && !userWrite && !(wxn && writable);
  const data = (control & FLAG.PAN) === 0 || !user;
  return (
    (user ? READ : 0) |
    (userWrite ? WRITE : 0) |
    (userExec ? EXEC : 0) |
    (data ? READ << PRIVILEGED_SHIFT : 0) |
    (data && writable ? WRITE << PRIVILEGED_SHIFT : 0) |
    (exec ? EXEC << PRIVILEGED_SHIFT : 0)
  );
}

/** EL2 without E2H: AP[1], PXN and PAN mean nothing, and UXN is XN. */
function onePrivilege(writable: boolean, hi: number, tables: number, wxn: boolean): number {
  const exec = (hi & UXN) === 0 && (tables & TABLE_UXN) === 0 && !(wxn && writable);
  const rights = READ | (writable ? WRITE : 0) | (exec ? EXEC : 0);
  return rights | (rights << PRIVILEGED_SHIFT);
}

/** The low word of a clean leaf with its dirty state: AP[2] cleared, at stage 2 S2AP[1] set, which is the same bit (3.5). */
export const dirtied = (lo: number, control: number): number =>
  (control & FLAG.SECOND_STAGE) === 0 ? lo & ~READ_ONLY : lo | READ_ONLY;

/** Rights where neither tables nor the CD restrict them, by AP[2:1] and, two bits up, PXN and UXN. */
const PLAIN_RIGHTS = Uint8Array.from({ length: 16 }, (_, n) =>
  restrictedRights((n & 3) << ap.shift, (n >>> 2) << pxn.shift, 0, 0, false),
);
