import {
  AP,
  ATTR_INDEX,
  DESCRIPTOR_TYPE,
  type LeafLayout,
  PageDescriptor,
  SH,
  startEntries,
  startLevel,
  type TableLayout,
  type VmsaLayout,
} from '@iommukit/paging';
import { PERM } from '../../faults.js';
import { type AddressSpaceFormat, ENTRY, type EntryKind, LEAF } from '../address-space-format.js';
import { OutputField } from './output-field.js';
import { LAST_LEVEL, LEVELS, RadixFormat, type Shape } from './radix-format.js';

/** Attributes stand at the same bits in every layout (smmuv3.md 3.2). */
const { valid, type, attrIndx, ap, sh, af, dbm, contiguous, pxn, uxn, software } = PageDescriptor.f;
const VALID = valid.maskLo;
const PAGE = valid.maskLo | type.maskLo;
const AP_BITS = ap.maskLo;
const USER_RW = AP.RW << ap.shift;
const USER_RO = AP.RO << ap.shift;
const READ_ONLY = (AP.RO & ~AP.RW) << ap.shift;
const AF = af.maskLo;
const UXN = uxn.maskHi;
const DBM = dbm.maskHi;
const CONTIGUOUS = contiguous.maskHi;
/** A software bit: the page was written to before it became read-only. */
const WRITTEN = 1 << software.shift;

/** The low words of leaves without type, SH and address, by PERM bits, and 8 more for registers. */
const ATTRIBUTES = Array.from({ length: 16 }, (_, i) => attributesOf(i & 7, i >= 8));
const SHAREABILITY = [SH.INNER << sh.shift, SH.OUTER << sh.shift] as const;

/** The high words likewise: the kernel's own accesses go by the direct map, so nothing is privileged-executable. */
const HIGH = [0, 1, 2, 3, 4, 5, 6, 7].map((perm) => pxn.maskHi | ((perm & PERM.EXEC) === 0 ? uxn.maskHi : 0));

/**
 * VMSAv8-64 stage 1, lower half, of one granule and address width (smmuv3.md 3.1, 3.2). Used by every walk and every store
 * of an entry: benchmarks fault-round-trip and killed-job.
 */
export class VmsaFormat extends RadixFormat implements AddressSpaceFormat {
  readonly layout: VmsaLayout;
  /** Low words of leaves by PERM bits, and 8 more for registers. */
  readonly attributes: readonly number[];

  /** @param addressBits how many bits of virtual address the tables resolve: the layout's, or less */
  constructor(layout: VmsaLayout, addressBits: number = layout.addressBits) {
    super(shapeOf(layout, addressBits));
    this.layout = layout;
    this.attributes = ATTRIBUTES.map((word, i) => word | ('sh' in layout.page.f ? SHAREABILITY[i >> 3]! : 0));
  }

  kindOf(entry: Uint32Array, level: number): EntryKind {
    const kind = entry[0]! & 3;
    if (kind === DESCRIPTOR_TYPE.TABLE_OR_PAGE) return level === LAST_LEVEL ? ENTRY.LEAF : ENTRY.TABLE;
    if (kind !== DESCRIPTOR_TYPE.BLOCK || level === LAST_LEVEL) return ENTRY.ABSENT;
    return this.outputs[level + 1] === null ? ENTRY.ABSENT : ENTRY.LEAF;
  }

  encodeTable(frame: number, out: Uint32Array): void {
    out[0] = PAGE;
    out[1] = 0;
    this.next.set(out, frame);
  }

  encodeLeaf(frame: number, perm: number, device: boolean, out: Uint32Array, level = LAST_LEVEL, flags = 0): void {
    const word = this.attributes[(perm & 7) | (device ? 8 : 0)]!;
    out[0] = level === LAST_LEVEL ? word | PAGE : word | VALID;
    out[1] = HIGH[perm & 7]!;
    this.outputs[level + 1]!.set(out, frame);
    if (flags !== 0) this.setFlags(out, flags);
  }

  permOf(entry: Uint32Array): number {
    const rights = entry[0]! & AP_BITS;
    if (rights !== USER_RW && rights !== USER_RO) return 0;
    return PERM.READ | (rights === USER_RW ? PERM.WRITE : 0) | ((entry[1]! & UXN) === 0 ? PERM.EXEC : 0);
  }

  isDevice(entry: Uint32Array): boolean {
    return attrIndx.get(entry) === ATTR_INDEX.DEVICE;
  }

  isAccessed(entry: Uint32Array): boolean {
    return (entry[0]! & AF) !== 0;
  }

  isDirty(entry: Uint32Array): boolean {
    return (entry[0]! & AP_BITS) === USER_RW || (entry[1]! & WRITTEN) !== 0;
  }

  isWritableClean(entry: Uint32Array): boolean {
    return (entry[0]! & AP_BITS) === USER_RO && (entry[1]! & DBM) !== 0;
  }

  isContiguous(entry: Uint32Array): boolean {
    return (entry[1]! & CONTIGUOUS) !== 0;
  }

  setPerm(entry: Uint32Array, perm: number): void {
    const written = this.isDirty(entry) ? WRITTEN : 0;
    const clean = this.isWritableClean(entry) && (perm & PERM.WRITE) !== 0;
    entry[0] = (entry[0]! & ~AP_BITS) | (clean ? USER_RO : ATTRIBUTES[perm & 7]! & AP_BITS);
    entry[1] = (entry[1]! & ~(UXN | DBM | WRITTEN)) | (HIGH[perm & 7]! & UXN) | (clean ? DBM : 0);
    if ((perm & PERM.WRITE) === 0) entry[1] = entry[1]! | written;
  }

  flagsOf(entry: Uint32Array): number {
    const use = (this.isDirty(entry) ? LEAF.DIRTY : LEAF.CLEAN) | (this.isAccessed(entry) ? 0 : LEAF.OLD);
    return use | (this.isContiguous(entry) ? LEAF.CONTIGUOUS : 0);
  }

  setFlags(entry: Uint32Array, flags: number): void {
    entry[0] = (flags & LEAF.OLD) === 0 ? entry[0]! | AF : entry[0]! & ~AF;
    entry[1] = (flags & LEAF.CONTIGUOUS) === 0 ? entry[1]! & ~CONTIGUOUS : entry[1]! | CONTIGUOUS;
    const writable = (entry[0]! & AP_BITS) === USER_RW || this.isWritableClean(entry);
    if ((flags & LEAF.CLEAN) !== 0) {
      if (writable) entry[0] = entry[0]! | READ_ONLY;
      entry[1] = (entry[1]! & ~WRITTEN) | (writable ? DBM : 0);
    } else if ((flags & LEAF.DIRTY) !== 0) {
      if (writable) entry[0] = entry[0]! & ~READ_ONLY;
      else entry[1] = entry[1]! | WRITTEN;
    }
  }

  resize(entry: Uint32Array, level: number, frame: number, to: number): void {
    this.outputs[level + 1]!.set(entry, 0);
    this.outputs[to + 1]!.set(entry, frame);
    entry[0] = to === LAST_LEVEL ? entry[0]! | PAGE : entry[0]! & ~type.maskLo;
    entry[1] = entry[1]! & ~CONTIGUOUS;
  }

  markUsed(entry: Uint32Array, write: boolean): boolean {
    const before = entry[0]!;
    let word = before | AF;
    if (write && this.isWritableClean(entry)) word &= ~READ_ONLY;
    entry[0] = word;
    return entry[0] !== before;
  }
}

function shapeOf(layout: VmsaLayout, addressBits: number): Shape {
  const { granule } = layout;
  const lowest = layout.ds ? -1 : 0;
  const outputs = LEVELS.map((level) => outputOf(leafAt(layout, level)));
  return {
    name: `VMSAv8-64 ${granule.name}/${addressBits}`,
    pageShift: granule.shift,
    bitsPerLevel: granule.bitsPerLevel,
    addressBits,
    userBits: addressBits,
    outputBits: layout.addressBits,
    rootLevel: startLevel(granule, addressBits, lowest),
    rootEntries: startEntries(granule, addressBits, lowest),
    outputs,
    next: outputOf(layout.table),
    groups: LEVELS.map((level) => (outputs[level + 1] ? ((granule.contiguous as readonly number[])[level] ?? 0) : 0)),
  };
}

function leafAt(layout: VmsaLayout, level: number): LeafLayout | null {
  return level === LAST_LEVEL ? layout.page : (layout.blocks[level] ?? null);
}

function outputOf(layout: TableLayout): OutputField;
function outputOf(layout: LeafLayout | null): OutputField | null;
function outputOf(layout: LeafLayout | TableLayout | null): OutputField | null {
  if (layout === null) return null;
  const { f } = layout;
  if ('next' in f) return new OutputField(f.next, 'nextHigh' in f ? f.nextHigh : null);
  return new OutputField(f.oa, 'oaHigh' in f ? f.oaHigh : null);
}

function attributesOf(perm: number, device: boolean): number {
  const page = PageDescriptor.make({
    attrIndx: device ? ATTR_INDEX.DEVICE : ATTR_INDEX.WB,
    ap: rightsOf(perm),
    af: 1,
    ng: 1,
  });
  return page[0]!;
}

/** A right to write includes the right to read; a mapping without rights is the kernel's alone. */
function rightsOf(perm: number): number {
  if ((perm & PERM.WRITE) !== 0) return AP.RW;
  return (perm & (PERM.READ | PERM.EXEC)) !== 0 ? AP.RO : AP.PRIVILEGED_RO;
}
