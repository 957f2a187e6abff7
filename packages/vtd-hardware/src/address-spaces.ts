import type { Kernel } from '@iommukit/kernel';
import type { CacheSpaces } from '@iommukit/pci-ats';

/** Whose translations a space holds. */
export const STAGE_KIND = {
  /** Second-stage lines, tagged with the domain (vtd.md 3.2). */
  SECOND: 0,
  /** First-stage lines, tagged with domain and PASID (vtd.md 3.6). */
  FIRST: 1,
} as const;

/** The PASID of a space that is tagged with its domain only. */
export const NO_PASID = -1;

/** log2 of the pages that a space's keys count: 48-bit addresses, or 57-bit ones. */
export const KEY_BITS = { narrow: 36, wide: 45 } as const;

const HALF_OF_EXACT = 2 ** 52;
const NARROW_SPAN = 2 * 2 ** KEY_BITS.narrow;
const WIDE_SPAN = 2 * 2 ** KEY_BITS.wide;
const NARROW_LIMIT = 2 ** 14;
const WIDE_LIMIT = HALF_OF_EXACT / WIDE_SPAN;
const NONE = -1;

/**
 * Small numbers for the tags that lines carry: (domain) or (domain, PASID). A whole tag fits one exact double: spaces of 48-bit
 * addresses lie below 2^52, the few of 57-bit ones above. Numbers are handed out in order of first use, and never reused before
 * everything is dropped.
 */
export class AddressSpaces implements CacheSpaces {
  readonly numbers: Map<number, number>;
  /** By number: the first of its tags. */
  readonly bases: number[];
  readonly kinds: number[];
  readonly dids: number[];
  readonly pasids: number[];
  /** The numbers of the spaces of each width, in the order of their tags. */
  readonly narrow: number[];
  readonly wide: number[];

  constructor(kernel: Kernel) {
    const { checkpoints } = kernel;
    this.numbers = checkpoints.keepMap(new Map<number, number>());
    this.bases = checkpoints.keepList<number>([]);
    this.kinds = checkpoints.keepList<number>([]);
    this.dids = checkpoints.keepList<number>([]);
    this.pasids = checkpoints.keepList<number>([]);
    this.narrow = checkpoints.keepList<number>([]);
    this.wide = checkpoints.keepList<number>([]);
  }

  /** The number of a space that was used before, or -1. `wide`: of 57-bit addresses. */
  find(kind: number, did: number, pasid: number, wide: boolean): number {
    return this.numbers.get(keyOf(kind, did, pasid, wide)) ?? NONE;
  }

  /** The number of a space; a new one if there is none. -1 when all are taken. */
  of(kind: number, did: number, pasid: number, wide: boolean): number {
    const known = this.find(kind, did, pasid, wide);
    if (known >= 0) return known;
    const alike = wide ? this.wide : this.narrow;
    if (alike.length === (wide ? WIDE_LIMIT : NARROW_LIMIT)) return NONE;
    const base = wide ? HALF_OF_EXACT + alike.length * WIDE_SPAN : alike.length * NARROW_SPAN;
    const number = this.bases.length;
    alike.push(number);
    this.numbers.set(keyOf(kind, did, pasid, wide), number);
    this.bases.push(base);
    this.kinds.push(kind);
    this.dids.push(did);
    this.pasids.push(pasid);
    return number;
  }

  /** log2 of the pages that the keys of a space count. */
  keyBits(space: number): number {
    return this.bases[space] < HALF_OF_EXACT ? KEY_BITS.narrow : KEY_BITS.wide;
  }

  /** The number of the space that a tag belongs to. */
  spaceOf(tag: number): number {
    if (tag < HALF_OF_EXACT) return this.narrow[Math.floor(tag / NARROW_SPAN)];
    return this.wide[Math.floor((tag - HALF_OF_EXACT) / WIDE_SPAN)];
  }

  /** Forgets every number: only when no line and no cached configuration holds one. */
  clear(): void {
    this.numbers.clear();
    for (const list of [this.bases, this.kinds, this.dids, this.pasids, this.narrow, this.wide]) list.length = 0;
  }
}

const keyOf = (kind: number, did: number, pasid: number, wide: boolean): number =>
  (did * 2 ** 21 + pasid + 1) * 4 + kind * 2 + (wide ? 1 : 0);
