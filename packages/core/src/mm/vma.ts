import type { OpenFile } from '../file/open-file.js';

/** What backs a mapping: zero-filled frames of its own, or frames that belong to a device and are never freed here. */
export type Backing = 'anonymous' | 'device';

/** One mapping: pages [first, end), page = address / 4096 (VMA-1). */
export interface Vma {
  first: number;
  end: number;
  /** PERM bits. */
  perm: number;
  /** Holds one reference while the mapping exists (VMA-4). */
  file: OpenFile | null;
  backing: Backing;
}

/** The mapping that contains `page`, or null. A device never grows a stack, so there is no "extend" here (VMA-3). */
export function findVma(vmas: readonly Vma[], page: number): Vma | null {
  for (const vma of vmas) {
    if (page < vma.first) return null;
    if (page < vma.end) return vma;
  }
  return null;
}

/** Where `pages` pages fit, as high as possible below `top`; -1 when they do not. */
export function highestGap(vmas: readonly Vma[], pages: number, top: number): number {
  let ceiling = top;
  for (let i = vmas.length - 1; i >= 0; i--) {
    if (ceiling - vmas[i]!.end >= pages) return ceiling - pages;
    ceiling = vmas[i]!.first;
  }
  // Page 0 stays unmapped: a null pointer must fault.
  return ceiling - 1 >= pages ? ceiling - pages : -1;
}

/** Puts `vma` in its place. */
export function insertVma(vmas: Vma[], vma: Vma): void {
  let i = vmas.length;
  while (i > 0 && vmas[i - 1]!.first > vma.first) i--;
  vmas.splice(i, 0, vma);
}
