import { IommuError, type Slab } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Mm } from './mm.js';
import type { PageRange } from './page-range.js';
import { canMerge, findVma, insertVma, type Vma } from './vma.js';

/** Makes, splits, merges and frees mappings; no entry of a table changes here (VMA-2, VMA-4). */
export class VmaEdits {
  readonly core: Core;
  readonly slab: Slab<Vma>;

  constructor(core: Core) {
    this.core = core;
    this.slab = core.kernel.slab<Vma>('vma', {
      first: 0,
      end: 0,
      perm: 0,
      flags: 0,
      file: null,
      backing: 'anonymous',
      offset: 0,
    });
  }

  /** A new mapping in its place; it holds its file. @throws IommuError ENOMEM */
  insert(mm: Mm, about: Vma): Vma {
    const vma = this.slab.alloc(about);
    if (about.file !== null) this.core.files.get(about.file);
    insertVma(mm.vmas, vma);
    return vma;
  }

  /** The same mapping for another address space, which has its own list; it holds its file too. @throws IommuError ENOMEM */
  copyTo(mm: Mm, { first, end, perm, flags, file, backing, offset }: Vma): Vma {
    return this.insert(mm, { first, end, perm, flags, file, backing, offset });
  }

  /** Makes `page` a border, if a mapping runs across it. @throws IommuError ENOMEM */
  splitAt(mm: Mm, page: number): void {
    const vma = findVma(mm.vmas, page);
    if (vma === null || vma.first === page) return;
    const { first, end, perm, flags, file, backing, offset } = vma;
    const further = backing === 'file' ? offset + page - first : offset;
    const upper = this.slab.alloc({ first: page, end, perm, flags, file, backing, offset: further });
    if (file !== null) this.core.files.get(file);
    vma.end = page;
    insertVma(mm.vmas, upper);
  }

  /** The mappings within pages [first, end), after splitting those that stick out. @throws IommuError ENOMEM */
  cut(mm: Mm, { first, end }: PageRange): Vma[] {
    this.splitAt(mm, first);
    this.splitAt(mm, end);
    return mm.vmas.filter((vma) => vma.first >= first && vma.end <= end);
  }

  /** Takes mappings off the list; they are not freed yet. */
  detach(mm: Mm, gone: readonly Vma[]): void {
    if (gone.length > 0) mm.vmas.splice(mm.vmas.indexOf(gone[0]!), gone.length);
  }

  /** Merges every mapping that touches pages [first, end] with a neighbour that goes on where it ends (VMA-2). */
  mergeAround(mm: Mm, { first, end }: PageRange): void {
    const { vmas } = mm;
    for (let i = vmas.length - 1; i > 0; i--) {
      const lower = vmas[i - 1]!;
      const upper = vmas[i]!;
      if (upper.first > end || lower.end < first || !canMerge(lower, upper)) continue;
      lower.end = upper.end;
      vmas.splice(i, 1);
      this.free(upper);
    }
  }

  /** True if no page of the range is without a mapping. */
  covers(mm: Mm, { first, end }: PageRange): boolean {
    let next = first;
    for (const vma of mm.vmas) {
      if (vma.end <= next) continue;
      if (vma.first > next) break;
      next = vma.end;
      if (next >= end) return true;
    }
    return next >= end;
  }

  /** @throws IommuError ENOMEM when a page of the range has no mapping */
  requireCovered(mm: Mm, range: PageRange): void {
    if (this.covers(mm, range)) return;
    throw new IommuError(
      'ENOMEM',
      `pages [0x${range.first.toString(16)}, 0x${range.end.toString(16)}) of ${mm.space} are not all mapped`,
      { rule: 'VMA-2', remedy: 'give a range without holes' },
    );
  }

  /** The end of a mapping that is on no list any more: it lets go of its file (VMA-4). */
  free(vma: Vma): void {
    if (vma.file !== null) this.core.files.put(vma.file);
    this.slab.free(vma);
  }
}
