import {
  AP,
  ATTR_INDEX,
  DESCRIPTOR_TYPE,
  GRANULES,
  LAST_LEVEL,
  PageDescriptor,
  SH,
  startLevel,
  TableDescriptor,
} from '@iommukit/paging';
import { PERM } from '../faults.js';
import { type AddressSpaceFormat, ENTRY, type EntryKind } from './address-space-format.js';

const GRANULE = GRANULES['4K'];
const ADDRESS_BITS = 48;
const PAGE = 4096;
const { ap, uxn, attrIndx } = PageDescriptor.f;
// Tables and pages keep their addresses in the same bits.
const { next } = TableDescriptor.f;

/** Pages that one entry of each level covers. */
const SPAN = GRANULE.levelShift.map((shift) => 2 ** (shift - GRANULE.shift));
const INDEXES = 2 ** GRANULE.bitsPerLevel;

/** A table descriptor without its address. */
const TABLE = TableDescriptor.make({ valid: 1, type: 1 });

/** Page descriptors without their addresses, by PERM bits: memory, and registers. */
const MEMORY = [0, 1, 2, 3, 4, 5, 6, 7].map((perm) => pageDescriptor(perm, false));
const REGISTERS = [0, 1, 2, 3, 4, 5, 6, 7].map((perm) => pageDescriptor(perm, true));

/** VMSAv8-64 stage 1, 4 KiB granule, 48-bit addresses, lower half (smmuv3.md 3.1, 3.2). */
export const VMSA_4K_48: AddressSpaceFormat = {
  name: 'VMSAv8-64 4K/48',
  pageShift: GRANULE.shift,
  addressBits: ADDRESS_BITS,
  rootLevel: startLevel(GRANULE, ADDRESS_BITS),
  leafLevel: LAST_LEVEL,
  tableOrder: 0,

  span(level: number): number {
    return SPAN[level]!;
  },

  offset(page: number, level: number): number {
    return (Math.floor(page / SPAN[level]!) % INDEXES) * 8;
  },

  encodeTable(frame: number, out: Uint32Array): void {
    out.set(TABLE);
    next.set(out, frame * PAGE);
  },

  encodeLeaf(frame: number, perm: number, device: boolean, out: Uint32Array): void {
    out.set((device ? REGISTERS : MEMORY)[perm & 7]!);
    next.set(out, frame * PAGE);
  },

  kindOf(entry: Uint32Array, level: number): EntryKind {
    const type = entry[0]! & 3;
    if (type === DESCRIPTOR_TYPE.TABLE_OR_PAGE) return level === LAST_LEVEL ? ENTRY.LEAF : ENTRY.TABLE;
    return type === DESCRIPTOR_TYPE.BLOCK && GRANULE.blockAt[level] === true ? ENTRY.LEAF : ENTRY.ABSENT;
  },

  frameOf(entry: Uint32Array): number {
    return next.get(entry) / PAGE;
  },

  permOf(entry: Uint32Array): number {
    const rights = ap.get(entry);
    if (rights !== AP.RW && rights !== AP.RO) return 0;
    return PERM.READ | (rights === AP.RW ? PERM.WRITE : 0) | (uxn.get(entry) === 0 ? PERM.EXEC : 0);
  },

  isDevice(entry: Uint32Array): boolean {
    return attrIndx.get(entry) === ATTR_INDEX.DEVICE;
  },
};

// The kernel's own accesses go by the direct map, so nothing here is privileged-executable.
function pageDescriptor(perm: number, device: boolean): Uint32Array {
  return PageDescriptor.make({
    valid: 1,
    type: 1,
    attrIndx: device ? ATTR_INDEX.DEVICE : ATTR_INDEX.WB,
    ap: rightsOf(perm),
    sh: device ? SH.OUTER : SH.INNER,
    af: 1,
    ng: 1,
    pxn: 1,
    uxn: (perm & PERM.EXEC) === 0 ? 1 : 0,
  });
}

/** A right to write includes the right to read; a mapping without rights is the kernel's alone. */
function rightsOf(perm: number): number {
  if ((perm & PERM.WRITE) !== 0) return AP.RW;
  return (perm & (PERM.READ | PERM.EXEC)) !== 0 ? AP.RO : AP.PRIVILEGED_RO;
}
