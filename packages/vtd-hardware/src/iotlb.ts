import { powerOfTwo } from '@iommukit/kernel';
import { type DropScope, TranslationCache } from '@iommukit/pci-ats';
import { type AddressSpaces, KEY_BITS, STAGE_KIND } from './address-spaces.js';
import type { Vtd } from './device.js';

/** Pages of the whole 64-bit address range. */
export const PAGES = 2 ** 52;

/** What else is known of a line. */
export const MARK = {
  /** A global page of the extended-context mode, which some invalidations leave. */
  GLOBAL: 1,
  /** R/W = 0 somewhere on the way of a first-stage page: only supervisors may write, and only they make it dirty. */
  READ_ONLY: 2,
} as const;

/** What an invalidation leaves. */
export interface IotlbScope extends DropScope {
  /** Global pages go too. */
  readonly globals: boolean;
}

const scopeOf = (leaf: boolean, globals: boolean): IotlbScope => SCOPES[(leaf ? 1 : 0) + (globals ? 2 : 0)];
const SCOPES: readonly IotlbScope[] = [
  { leaf: false, globals: false },
  { leaf: true, globals: false },
  { leaf: false, globals: true },
  { leaf: true, globals: true },
];

/**
 * The IOTLB, with translations of either stage. In caching mode a second-stage line without any right says that nothing is mapped.
 * `leaf` of an invalidation is its hint IH.
 */
export class Iotlb extends TranslationCache<IotlbScope> {
  declare readonly spaces: AddressSpaces;
  /** {@link MARK} bits of a line. */
  readonly marks: Uint8Array;

  constructor({ kernel, name, spaces, walkCache, capabilities }: Vtd) {
    super(kernel, `${name} IOTLB`, capabilities.iotlbEntries, spaces, walkCache);
    this.marks = new Uint8Array(capabilities.iotlbEntries);
  }

  override columns(): readonly (Int8Array | Int32Array | Uint8Array)[] {
    return [...super.columns(), this.marks];
  }

  override covers({ globals }: IotlbScope, i: number): boolean {
    return globals || (this.marks[i] & MARK.GLOBAL) === 0;
  }

  /** Drops every line of a domain, of either stage (3.2). */
  dropDomain(did: number): void {
    const { dids } = this.spaces;
    this.dropSpaces((space) => dids[space] === did);
  }

  /** Drops the second-stage lines of a domain that hold a page of [first, last], and every first-stage line of it (3.2). */
  dropPages(did: number, first: number, last: number, leaf: boolean): void {
    const { spaces } = this;
    this.dropFirstStage(did, scopeOf(leaf, true));
    for (const wide of [false, true]) {
      const space = spaces.find(STAGE_KIND.SECOND, did, -1, wide);
      if (space < 0) continue;
      this.dropKeys(space, first, Math.min(last, powerOfTwo(spaces.keyBits(space)) - 1), scopeOf(leaf, true));
    }
  }

  /** Drops every line of (domain, PASID); without `globals` those that are not global (3.6). */
  dropPasid(did: number, pasid: number, globals = true): void {
    const narrow = this.spaces.find(STAGE_KIND.FIRST, did, pasid, false);
    const wide = this.spaces.find(STAGE_KIND.FIRST, did, pasid, true);
    if (narrow < 0 && wide < 0) return;
    this.dropSpaces((space) => space === narrow || space === wide, scopeOf(false, globals));
  }

  /** Drops the lines of (domain, PASID) that hold a page of [first, last] (3.6). Addresses that are not canonical have none. */
  dropPasidPages(did: number, pasid: number, first: number, last: number, leaf: boolean, globals = true): void {
    const scope = scopeOf(leaf, globals);
    for (const wide of [false, true]) {
      const space = this.spaces.find(STAGE_KIND.FIRST, did, pasid, wide);
      if (space < 0) continue;
      const half = powerOfTwo((wide ? KEY_BITS.wide : KEY_BITS.narrow) - 1);
      if (first < half) this.dropKeys(space, first, Math.min(last, half - 1), scope);
      const upper = PAGES - half;
      if (last >= upper) {
        const shift = PAGES - 2 * half;
        this.dropKeys(space, Math.max(first, upper) - shift, Math.min(last, PAGES - 1) - shift, scope);
      }
    }
  }

  /** Drops the first-stage lines of a domain, of every PASID; without `globals` those that are not global (3.6, extended mode). */
  dropDomainPasids(did: number, globals: boolean): void {
    this.dropFirstStage(did, scopeOf(false, globals));
  }

  dropFirstStage(did: number, scope: IotlbScope): void {
    const { dids, kinds } = this.spaces;
    this.dropSpaces((space) => dids[space] === did && kinds[space] === STAGE_KIND.FIRST, scope);
  }
}
