import { TranslationCache } from '@iommukit/pci-ats';
import { type AddressSpaces, TBI_PAGES, WORLD } from './address-spaces.js';
import type { SmmuV3 } from './device.js';

/** Which lines {@link Iotlb.dropRange} drops. */
export interface DropRange {
  /** {@link WORLD}: the StreamWorld whose lines go. */
  readonly world: number;
  readonly vmid: number;
  /** Lines of this ASID and global ones; -1 for every ASID. */
  readonly asid: number;
  /** Pages (address / 4096) as the command has them, both ends included; their top byte is ignored. */
  readonly first: number;
  readonly last: number;
  /** 0, or the only level whose lines need to go (TTL). */
  readonly level: number;
  /** log2 of the granule's bytes (TG), 0 where none is given. A hint: lines of any granule go. */
  readonly granule: number;
  /** Only lines of the last level need to go: what is cached of the tables above stays. */
  readonly leaf: boolean;
  /** Lines of the private ASID set may stay: a broadcast (3.6). */
  readonly shared: boolean;
}

/** The TLB, for translations of either stage. TTL is the level of the leaf: every table above it goes. */
export class Iotlb extends TranslationCache<DropRange> {
  declare readonly spaces: AddressSpaces;
  /** `exist`: lines with nG = 0 may be there. */
  readonly globals = { exist: false };

  constructor({ kernel, name, spaces, walkCache, capabilities }: SmmuV3) {
    super(kernel, `${name} IOTLB`, capabilities.iotlbEntries, spaces, walkCache);
    kernel.checkpoints.keep(this.globals);
  }

  override dropAll(): void {
    super.dropAll();
    this.globals.exist = false;
  }

  /** Drops every line of a StreamWorld (TLBI_NSNH_ALL, TLBI_EL2_ALL). */
  dropWorld(world: number): void {
    const { worlds } = this.spaces;
    this.dropSpaces((space) => worlds[space] === world);
  }

  /** Drops every NS-EL1 line of a VMID (TLBI_NH_ALL). */
  dropVmid(vmid: number): void {
    this.dropSpaces((space) => this.spaces.reaches(space, WORLD.EL1, vmid, -1, false));
  }

  /** Drops every line of either stage of a VMID (TLBI_S12_VMALL). */
  dropBothStages(vmid: number): void {
    const { spaces } = this;
    this.dropSpaces(
      (space) =>
        spaces.reaches(space, WORLD.EL1, vmid, -1, false) || spaces.reaches(space, WORLD.STAGE2, vmid, -1, false),
    );
  }

  /** Drops the lines of one ASID that are not global (TLBI_NH_ASID, TLBI_EL2_ASID); `shared`: those of the private set may stay. */
  dropAsid(world: number, vmid: number, asid: number, shared = false): void {
    const own = this.spaces.find(world, vmid, asid, 0);
    const other = shared ? -1 : this.spaces.find(world, vmid, asid, 1);
    if (own >= 0 || other >= 0) this.dropSpaces((space) => space === own || space === other);
  }

  // ── by address ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Drops lines by address (TLBI_NH_VA, TLBI_NH_VAA, TLBI_EL2_VA …): any line that holds a page of the range goes whole. */
  dropRange(range: DropRange): void {
    const first = range.first % TBI_PAGES;
    const last = first + Math.min(range.last - range.first, TBI_PAGES - 1);
    // All of it lies in the lower half. Benchmark: invalidate-refill.
    if (last < this.spaces.shape.half) return this.dropReached(range, first, last);
    this.dropHalves(range, first, last, 0);
    if (last >= TBI_PAGES) this.dropHalves(range, first, last, TBI_PAGES);
  }

  /** The lower half begins at page `base`, the upper one ends before `base` + TBI_PAGES. */
  dropHalves(range: DropRange, first: number, last: number, base: number): void {
    const { half } = this.spaces.shape;
    this.dropWithin(range, first, last, base, 0);
    this.dropWithin(range, first, last, base + TBI_PAGES - half, half);
  }

  /** Pages [first, last] as far as they are in the half that begins at page `begin` and key `key`. */
  dropWithin(range: DropRange, first: number, last: number, begin: number, key: number): void {
    const from = Math.max(first, begin);
    const to = Math.min(last, begin + this.spaces.shape.half - 1);
    if (from <= to) this.dropReached(range, key + from - begin, key + to - begin);
  }

  /** Keys [first, last] of every space that the invalidation reaches. */
  dropReached(range: DropRange, first: number, last: number): void {
    const { spaces } = this;
    const { world, vmid, asid, shared } = range;
    if (asid < 0 || last - first >= this.list.length) {
      return this.dropKeysOf((space) => spaces.reaches(space, world, vmid, asid, shared), first, last, range);
    }
    const scope = spaces.scope(world, vmid, asid, shared);
    for (let n = 0; n < scope.length; n++) if (scope[n] >= 0) this.dropKeys(scope[n], first, last, range);
  }

  /** The invalidation is about lines of this level. */
  override covers(range: DropRange, i: number): boolean {
    return range.level === 0 || range.level === this.levels[i];
  }
}
