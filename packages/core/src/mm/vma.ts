import type { OpenFile } from '../file/open-file.js';

/**
 * What backs a mapping: zero-filled frames of its own, a file's pages, or frames that belong to a device and are never
 * freed here.
 */
export type Backing = 'anonymous' | 'file' | 'device';

/** What a mapping is besides its rights (VMA-1). */
export const VMA_FLAG = {
  /** Stores reach the file, and everybody who maps it; without it they are private copies. */
  SHARED: 1,
  /** A fault below it may extend it downwards (VMA-3). */
  GROWSDOWN: 2,
} as const;

/** One mapping: pages [first, end), page = address / 4096 (VMA-1). */
export interface Vma {
  first: number;
  end: number;
  /** PERM bits. */
  perm: number;
  /** {@link VMA_FLAG} bits. */
  flags: number;
  /** Holds one reference while the mapping exists (VMA-4). */
  file: OpenFile | null;
  backing: Backing;
  /** The file's page that {@link first} shows; 0 without a file. */
  offset: number;
}

/** The mapping that contains `page`, or null. */
export function findVma(vmas: readonly Vma[], page: number): Vma | null {
  for (const vma of vmas) {
    if (page < vma.first) return null;
    if (page < vma.end) return vma;
  }
  return null;
}

/** True if `page` has a private copy when it is written: what fork must share read-only (MM-12). */
export function isCopyOnWrite({ flags, backing }: Vma): boolean {
  return (flags & VMA_FLAG.SHARED) === 0 && backing !== 'device';
}

/** Where `pages` pages fit, as high as possible below `top`; -1 when they do not. */
export function highestGap(vmas: readonly Vma[], pages: number, top: number): number {
  let ceiling = top;
  for (let i = vmas.length - 1; i >= 0; i--) {
    const { first, end } = vmas[i]!;
    if (first >= top) continue;
    if (ceiling - end >= pages) return ceiling - pages;
    ceiling = first;
  }
  // Page 0 stays unmapped: a null pointer must fault.
  return ceiling - 1 >= pages ? ceiling - pages : -1;
}

/** True if nothing is mapped in pages [first, end). */
export function isFree(vmas: readonly Vma[], first: number, end: number): boolean {
  return !vmas.some((vma) => vma.first < end && first < vma.end);
}

/** Puts `vma` in its place. */
export function insertVma(vmas: Vma[], vma: Vma): void {
  let i = vmas.length;
  while (i > 0 && vmas[i - 1]!.first > vma.first) i--;
  vmas.splice(i, 0, vma);
}

/** True if `upper` goes on where `lower` ends, in every respect: one mapping can stand for both (VMA-2). */
export function canMerge(lower: Vma, upper: Vma): boolean {
  return (
    lower.end === upper.first &&
    lower.perm === upper.perm &&
    lower.flags === upper.flags &&
    lower.backing === upper.backing &&
    lower.file === upper.file &&
    lower.backing !== 'device' &&
    (lower.backing === 'anonymous' || lower.offset + lower.end - lower.first === upper.offset)
  );
}
