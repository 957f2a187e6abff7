import { type AddressSpaceFormat, ENTRY } from '@iommukit/core';
import type { HardwarePlace } from '@iommukit/kernel';
import type { Translation } from '@iommukit/pci-ats';
import type { Table } from './table.js';

/** Why there is no translation. */
export const REASON = { NONE: 0, NO_ROW: 1, NO_PAGE: 2, NO_RIGHT: 3, QUIET: 4 } as const;

const RIGHTS = 7;
const PAGE = 4096;

/** Walks the page tables, from their top and through the bus, for every single translation: nothing is cached. */
export class Walk {
  readonly place: HardwarePlace;
  readonly table: Table;
  /** The entry that was read last. */
  readonly entry = new Uint32Array(2);

  constructor(place: HardwarePlace, table: Table) {
    this.place = place;
    this.table = table;
  }

  /** One atomic step; see TranslationAgent.translate. */
  translate(stream: number, pasid: number, page: number, want: number, out: Translation): boolean {
    const row = this.table.find(stream, pasid);
    if (row === null) return refused(out, REASON.NO_ROW);
    if (row.quiet) return refused(out, REASON.QUIET);
    const { format, pgd } = row;
    const level = this.findLeaf(stream, pasid, page, format, pgd);
    if (level < 0) return refused(out, REASON.NO_PAGE);
    const { entry } = this;
    // The first access of an old page is the kernel's to note, by a fault: this IOMMU changes no entry.
    if (!format.isAccessed(entry)) return refused(out, REASON.NO_PAGE);
    const perm = format.permOf(entry) & RIGHTS;
    if ((want & RIGHTS & ~perm) !== 0) return refused(out, REASON.NO_RIGHT);
    const span = format.span(level);
    out.frame = format.frameOf(entry, level) + (page % span);
    out.perm = perm;
    out.log2Size = 12 + Math.log2(span);
    out.level = level;
    out.reason = REASON.NONE;
    return true;
  }

  /** Reads the leaf of a page into {@link entry}. @returns its level, or -1 */
  findLeaf(stream: number, pasid: number, page: number, format: AddressSpaceFormat, pgd: number): number {
    if (!Number.isInteger(page) || page < 0 || page >= format.pageEnd) return -1;
    const { kernel, bus, name } = this.place;
    let table = pgd;
    for (let level = format.rootLevel; ; level++) {
      const at = table + format.offset(page, level);
      kernel.observer.fetched(name, Math.floor(at / PAGE), 'page table', stream, pasid);
      kernel.touch(Math.floor(at / 8), false);
      bus.load64(at, this.entry);
      const kind = format.kindOf(this.entry, level);
      if (kind === ENTRY.LEAF) return level;
      if (kind === ENTRY.ABSENT) return -1;
      table = format.tableOf(this.entry) * PAGE;
    }
  }
}

function refused(out: Translation, reason: number): false {
  out.reason = reason;
  out.perm = 0;
  return false;
}
