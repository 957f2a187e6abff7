import type { Kernel } from '@iommukit/kernel';
import type { CacheSpaces } from '@iommukit/pci-ats';

/** StreamWorlds: whose translations a line holds (smmuv3.md 3.6). Commands of one exception level leave the other's lines. */
export const WORLD = {
  /** NS-EL1: tagged with VMID, ASID and ASET. */
  EL1: 0,
  /** EL2 without E2H: tagged with the address only. */
  EL2: 1,
  /** EL2 with E2H: tagged with ASID and ASET, not with a VMID. */
  EL2_E2H: 2,
  /** Stage 2: tagged with VMID and intermediate physical address. */
  STAGE2: 3,
} as const;

/** How many translation regimes the TLB can tell apart at a time; a policy of this model, wide enough for every ASID in use. */
export const SPACE_LIMIT = 2 ** 14;

/** The ASID of lines that are not tagged with one (nG = 0). */
export const GLOBAL = -1;

const NONE = -1;

/** Pages below the byte of an address that TBI ignores, and that invalidations ignore. */
export const TBI_PAGES = 2 ** 44;

/** Numbers that tags are made with. */
export interface TagShape {
  /** Pages of one half of the address range: keys of the upper half follow those of the lower one. */
  readonly half: number;
  /** Tags of one space. */
  readonly span: number;
  /** Spaces that a tag can name. */
  readonly limit: number;
}

/** The shape of tags for virtual addresses of `bits` bits: a key and the size take bits - 10, spaces what remains of 53. */
export function tagShape(bits: number): TagShape {
  const half = 2 ** (bits - 12);
  return { half, span: 4 * half, limit: 2 ** 53 / (4 * half) };
}

/**
 * Small numbers for the tags (StreamWorld, VMID, ASID or global, ASET) that lines carry (smmuv3.md 3.6), so that a whole tag
 * fits one exact double. Numbers are handed out in order of first use, and never reused before everything is dropped.
 */
export class AddressSpaces implements CacheSpaces {
  readonly shape: TagShape;
  readonly limit: number;
  readonly bases: number[];
  readonly numbers: Map<number, number>;
  readonly worlds: number[];
  readonly vmids: number[];
  readonly asids: number[];
  readonly asets: number[];
  /** The last answer of {@link scope}, what it was asked for, and how many numbers there were. */
  readonly last = new Int32Array(4);
  readonly asked = { world: NONE, vmid: NONE, asid: NONE, shared: false, count: 0 };

  constructor(kernel: Kernel, shape: TagShape) {
    this.shape = shape;
    this.limit = Math.min(shape.limit, SPACE_LIMIT);
    this.bases = kernel.checkpoints.keepList<number>([]);
    this.numbers = kernel.checkpoints.keepMap(new Map<number, number>());
    this.worlds = kernel.checkpoints.keepList<number>([]);
    this.vmids = kernel.checkpoints.keepList<number>([]);
    this.asids = kernel.checkpoints.keepList<number>([]);
    this.asets = kernel.checkpoints.keepList<number>([]);
    kernel.checkpoints.add({ save: () => () => this.forget() });
  }

  /** The number of a space that was used before, or -1. EL2 has no VMIDs. */
  find(world: number, vmid: number, asid: number, aset: number): number {
    return this.numbers.get(keyOf(world, vmid, asid, aset)) ?? NONE;
  }

  /** The number of a space; a new one if there is none. -1 when all are taken. */
  of(world: number, vmid: number, asid: number, aset: number): number {
    const known = this.find(world, vmid, asid, aset);
    if (known >= 0 || this.vmids.length === this.limit) return known;
    this.numbers.set(keyOf(world, vmid, asid, aset), this.vmids.length);
    this.bases.push(this.vmids.length * this.shape.span);
    this.worlds.push(world);
    this.vmids.push(hasVmids(world) ? vmid : 0);
    this.asids.push(asid);
    this.asets.push(aset);
    return this.vmids.length - 1;
  }

  /** The number of the space that a tag belongs to. */
  spaceOf(tag: number): number {
    return Math.floor(tag / this.shape.span);
  }

  /**
   * The spaces that an invalidation by address and ASID reaches: the ASID's two, then the two of global lines; -1 where there
   * is none, or where `shared` leaves the private set (ASET = 1) out. Shared: read at once.
   */
  scope(world: number, vmid: number, asid: number, shared: boolean): Int32Array {
    const { asked, last } = this;
    const same = asked.asid === asid && asked.vmid === vmid && asked.world === world && asked.shared === shared;
    if (same && asked.count === this.vmids.length) return last;
    asked.world = world;
    asked.vmid = vmid;
    asked.asid = asid;
    asked.shared = shared;
    asked.count = this.vmids.length;
    last[0] = this.find(world, vmid, asid, 0);
    last[1] = shared ? NONE : this.find(world, vmid, asid, 1);
    last[2] = this.find(world, vmid, GLOBAL, 0);
    last[3] = shared ? NONE : this.find(world, vmid, GLOBAL, 1);
    return last;
  }

  /** An invalidation for (`world`, `vmid`, `asid`; -1: every ASID) reaches the lines of `space`. */
  reaches(space: number, world: number, vmid: number, asid: number, shared: boolean): boolean {
    if (this.worlds[space] !== world || (hasVmids(world) && this.vmids[space] !== vmid)) return false;
    if (asid < 0) return true;
    if (shared && this.asets[space] === 1) return false;
    return this.asids[space] === asid || this.asids[space] === GLOBAL;
  }

  /** Forgets every number: only when no line and no context holds one. */
  clear(): void {
    this.numbers.clear();
    this.bases.length = 0;
    this.worlds.length = 0;
    this.vmids.length = 0;
    this.asids.length = 0;
    this.asets.length = 0;
    this.forget();
  }

  /** The next {@link scope} is looked up again. */
  forget(): void {
    this.asked.world = NONE;
  }
}

const hasVmids = (world: number): boolean => world === WORLD.EL1 || world === WORLD.STAGE2;

const keyOf = (world: number, vmid: number, asid: number, aset: number): number =>
  ((world * 2 ** 16 + (hasVmids(world) ? vmid : 0)) * 2 ** 17 + asid + 1) * 2 + aset;
