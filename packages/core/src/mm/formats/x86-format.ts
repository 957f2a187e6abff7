import { X86, X86Block1G, X86Block2M, X86Page, X86Table } from '@iommukit/paging';
import { PERM } from '../../faults.js';
import { type AddressSpaceFormat, ENTRY, type EntryKind, LEAF } from '../address-space-format.js';
import { OutputField } from './output-field.js';
import { LAST_LEVEL, RadixFormat } from './radix-format.js';

const { p, rw, us, pwt, pcd, a, d, xd } = X86Page.f;
const PRESENT = p.maskLo;
const WRITE = rw.maskLo;
const USER = us.maskLo;
const UNCACHED = pcd.maskLo | pwt.maskLo;
const ACCESSED = a.maskLo;
const DIRTY = d.maskLo;
const BLOCK = X86Block2M.f.ps.maskLo;
const NO_EXEC = xd.maskHi;
const TABLE = PRESENT | WRITE | USER | ACCESSED;

const OUTPUTS = [null, null, X86Block1G.f.addr, X86Block2M.f.addr, X86Page.f.addr];

/**
 * x86-64 paging with 4 or 5 levels, as CPUs and VT-d first-stage walks read it (vtd.md 2.11). Level 3 is the page table, 2
 * the page directory with 2 MiB pages, 1 the page directory pointer table with 1 GiB pages, 0 the PML4, -1 the PML5. User
 * addresses are those of the lower half.
 */
export class X86Format extends RadixFormat implements AddressSpaceFormat {
  readonly markedByCpus = true;

  constructor(levels: 4 | 5) {
    const addressBits = X86.shift + X86.bitsPerLevel * levels;
    super({
      name: `x86-64 ${levels}-level`,
      pageShift: X86.shift,
      bitsPerLevel: X86.bitsPerLevel,
      addressBits,
      userBits: addressBits - 1,
      outputBits: X86Page.f.addr.hi + 1,
      rootLevel: 4 - levels,
      rootEntries: 2 ** X86.bitsPerLevel,
      outputs: OUTPUTS.map((field) => (field === null ? null : new OutputField(field, null))),
      next: new OutputField(X86Table.f.addr, null),
      groups: [0, 0, 0, 0, 0],
    });
  }

  kindOf(entry: Uint32Array, level: number): EntryKind {
    if ((entry[0]! & PRESENT) === 0) return ENTRY.ABSENT;
    if (level === LAST_LEVEL) return ENTRY.LEAF;
    if ((entry[0]! & BLOCK) === 0) return ENTRY.TABLE;
    // PS is reserved in the two topmost levels: such an entry is nothing that software made.
    return this.outputs[level + 1] === null ? ENTRY.ABSENT : ENTRY.LEAF;
  }

  encodeTable(frame: number, out: Uint32Array): void {
    out[0] = TABLE;
    out[1] = 0;
    this.next.set(out, frame);
  }

  encodeLeaf(frame: number, perm: number, device: boolean, out: Uint32Array, level = LAST_LEVEL, flags = 0): void {
    const writable = (perm & PERM.WRITE) !== 0;
    out[0] = PRESENT | ACCESSED | rightsOf(perm) | (writable ? DIRTY : 0);
    if (level !== LAST_LEVEL) out[0] = out[0] | BLOCK;
    if (device) out[0] = out[0] | UNCACHED;
    out[1] = (perm & PERM.EXEC) === 0 ? NO_EXEC : 0;
    this.outputs[level + 1]!.set(out, frame);
    if (flags !== 0) this.setFlags(out, flags);
  }

  permOf(entry: Uint32Array): number {
    const word = entry[0]!;
    if ((word & USER) === 0) return 0;
    const written = WRITE | DIRTY;
    return PERM.READ | ((word & written) === written ? PERM.WRITE : 0) | ((entry[1]! & NO_EXEC) === 0 ? PERM.EXEC : 0);
  }

  isDevice(entry: Uint32Array): boolean {
    return (entry[0]! & pcd.maskLo) !== 0;
  }

  isAccessed(entry: Uint32Array): boolean {
    return (entry[0]! & ACCESSED) !== 0;
  }

  isDirty(entry: Uint32Array): boolean {
    return (entry[0]! & DIRTY) !== 0;
  }

  isWritableClean(entry: Uint32Array): boolean {
    return (entry[0]! & (WRITE | DIRTY)) === WRITE;
  }

  isContiguous(_entry: Uint32Array): boolean {
    return false;
  }

  setPerm(entry: Uint32Array, perm: number): void {
    entry[0] = (entry[0]! & ~(WRITE | USER)) | rightsOf(perm);
    entry[1] = (perm & PERM.EXEC) === 0 ? entry[1]! | NO_EXEC : entry[1]! & ~NO_EXEC;
  }

  flagsOf(entry: Uint32Array): number {
    return (this.isDirty(entry) ? LEAF.DIRTY : LEAF.CLEAN) | (this.isAccessed(entry) ? 0 : LEAF.OLD);
  }

  setFlags(entry: Uint32Array, flags: number): void {
    let word = (flags & LEAF.OLD) === 0 ? entry[0]! | ACCESSED : entry[0]! & ~ACCESSED;
    if ((flags & LEAF.CLEAN) !== 0) word &= ~DIRTY;
    else if ((flags & LEAF.DIRTY) !== 0) word |= DIRTY;
    entry[0] = word;
  }

  resize(entry: Uint32Array, level: number, frame: number, to: number): void {
    this.outputs[level + 1]!.set(entry, 0);
    if (to === LAST_LEVEL) entry[0] = entry[0]! & ~BLOCK;
    this.outputs[to + 1]!.set(entry, frame);
  }

  markUsed(entry: Uint32Array, write: boolean): boolean {
    const before = entry[0]!;
    entry[0] = before | ACCESSED | (write && (before & WRITE) !== 0 ? DIRTY : 0);
    return entry[0] !== before;
  }
}

/** A right to write includes the right to read; a mapping without rights is the supervisor's alone. */
function rightsOf(perm: number): number {
  if ((perm & 7) === 0) return 0;
  return USER | ((perm & PERM.WRITE) !== 0 ? WRITE : 0);
}
