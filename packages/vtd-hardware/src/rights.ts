import { LINE } from '@iommukit/kernel';
import { SecondStagePage, X86Page } from '@iommukit/paging';
import { CLEAN, inModeOf, PRIVILEGED_SHIFT, RIGHTS } from '@iommukit/pci-ats';
import { FAULT } from '@iommukit/vtd-spec';
import { MARK } from './iotlb.js';
import { FLAG, KIND } from './regime.js';

const { READ, WRITE, EXEC } = LINE;

/** Masks in the words of entries (vtd.md 2.11, 2.12). */
export const PRESENT = X86Page.f.p.maskLo;
export const ACCESSED = X86Page.f.a.maskLo;
export const DIRTY = X86Page.f.d.maskLo;
export const EXTENDED = X86Page.f.ea.maskLo;
const { rw, d, xd } = X86Page.f;
const GLOBAL = X86Page.f.g.maskLo;
export const SECOND_READ = SecondStagePage.f.r.maskLo;
export const SECOND_WRITE = SecondStagePage.f.w.maskLo;
export const SECOND_ACCESSED = SecondStagePage.f.a.maskLo;
export const SECOND_DIRTY = SecondStagePage.f.d.maskLo;

/** What entries take from everything below them, or-ed on the way down. */
export const LESS = { WRITE: 1, USER: 2, EXEC: 4, READ: 8 } as const;

/** {@link LESS} bits of a first-stage entry: R/W and U/S stand side by side, as their bits here do. */
export const lessOfFirst = (lo: number, hi: number): number =>
  ((~lo >>> rw.shift) & (LESS.WRITE | LESS.USER)) | ((hi >>> (xd.shift - 2)) & LESS.EXEC);

/** {@link LESS} bits of a second-stage entry. X and XD mean nothing there (2.12). */
export const lessOfSecond = (lo: number): number =>
  ((lo & SECOND_WRITE) === 0 ? LESS.WRITE : 0) | ((lo & SECOND_READ) === 0 ? LESS.READ : 0);

/** MARK bits of a leaf, by {@link LESS} bits. */
export const marksOf = (less: number): number => ((less & LESS.WRITE) === 0 ? 0 : MARK.READ_ONLY);

/** A global page; that it is one counts in the extended-context mode only. */
export const isGlobal = (lo: number): boolean => (lo & GLOBAL) !== 0;

const CLEAN_INDEX = 8;
/** FLAG.WRITE_PROTECT, one bit further up. */
const PROTECT_INDEX = FLAG.WRITE_PROTECT << 1;

/** Rights of first-stage pages by {@link LESS} bits, whether the page is clean, and WPE. */
const FIRST_RIGHTS = Uint8Array.from({ length: 32 }, (_, n) => {
  const user = (n & LESS.USER) === 0;
  const exec = (n & LESS.EXEC) === 0;
  const userWrite = user && (n & LESS.WRITE) === 0;
  const write = (n & LESS.WRITE) === 0 || (n & PROTECT_INDEX) === 0;
  const rights =
    (user ? READ : 0) |
    (userWrite ? WRITE : 0) |
    (user && exec ? EXEC : 0) |
    (READ << PRIVILEGED_SHIFT) |
    (write ? WRITE << PRIVILEGED_SHIFT : 0) |
    (exec ? EXEC << PRIVILEGED_SHIFT : 0);
  const writes = WRITE | (WRITE << PRIVILEGED_SHIFT);
  // A clean page counts as writable in everything else; the right itself comes with the dirty flag.
  return (n & CLEAN_INDEX) !== 0 && (rights & writes) !== 0 ? (rights & ~writes) | CLEAN : rights;
});

/**
 * Rights of a first-stage leaf (vtd.md 2.11): for user requests, and {@link PRIVILEGED_SHIFT} bits further up for privileged ones.
 * `less`: {@link LESS} bits of the leaf and the tables above it. `lo`: the leaf, for its dirty flag.
 */
export const rightsOfFirst = (less: number, lo: number, control: number): number =>
  FIRST_RIGHTS[less | ((~lo >>> (d.shift - 3)) & CLEAN_INDEX) | ((control << 1) & PROTECT_INDEX)];

/** Rights of a second-stage leaf (vtd.md 2.12): the same for every privilege; what can be read can be executed. */
export function rightsOfSecond(less: number, lo: number, control: number): number {
  const writable = (less & LESS.WRITE) === 0;
  const clean = (control & FLAG.SECOND_FLAGS) !== 0 && (lo & SECOND_DIRTY) === 0;
  const rights = ((less & LESS.READ) === 0 ? READ | EXEC : 0) | (writable && !clean ? WRITE : 0);
  return rights | (rights << PRIVILEGED_SHIFT) | (writable && clean ? CLEAN : 0);
}

/**
 * Why a request that lacks rights is refused, in the order of the conditions (vtd.md 5.1, 5.2). `flags` with the dirty flag set; no
 * rights at all: the second stage maps nothing there.
 */
export function denial(kind: number, control: number, want: number, flags: number): number {
  const missing = want & RIGHTS & ~inModeOf(want, flags);
  if (kind === KIND.SECOND) {
    const write = (missing & WRITE) !== 0;
    if ((control & FLAG.LEGACY) !== 0) return write ? FAULT.WRITE : FAULT.READ;
    if ((flags & (RIGHTS | CLEAN)) === 0) return FAULT.SS_NOT_PRESENT;
    return write ? FAULT.SM_WRITE : FAULT.SM_READ;
  }
  if ((missing & READ) !== 0 || (inModeOf(want, flags) & READ) === 0) return FAULT.SM_USER;
  return (missing & EXEC) !== 0 ? FAULT.SM_EXECUTE : FAULT.SM_WRITE;
}
