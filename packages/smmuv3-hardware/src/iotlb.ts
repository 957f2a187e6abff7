import { CacheLines, type Kernel } from '@iommukit/kernel';
import { type AddressSpaces, GLOBAL, WORLD } from './address-spaces.js';

const WAYS = 4;
/** Keys of one space and size: 2^36 pages of each half of a 48-bit address range. */
export const KEYS = 2 ** 37;
/** log2 of the pages of a line, by size code. */
const ORDERS = [0, 9, 18] as const;

/** Which lines {@link Iotlb.dropRange} drops. Pages are address / 4096 of the command; the top byte is ignored. */
export interface DropRange {
  readonly world: number;
  readonly vmid: number;
  /** Lines of this ASID and global ones; -1 for every ASID. */
  readonly asid: number;
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  /** TTL: 0, or the only level whose lines need to go. */
  readonly level: number;
  /** log2 of the bytes of TG; 0 for none. */
  readonly granule: number;
  /** Only last-level lines need to go. */
  readonly leaf: boolean;
  /** Lines of the private set (ASET = 1) may stay. */
  readonly shared: boolean;
}

/** Pages are keys: the upper half of the range follows the lower. */
interface KeyRange {
  readonly vmid: number;
  /** Lines of this ASID and global ones; -1 for every ASID (SMMU NH_VAA). */
  readonly asid: number;
  readonly first: number;
  readonly count: number;
  /** 0, or the only level whose lines need to go (TTL). */
  readonly level: number;
}

/**
 * The TLB for stage-1 translations: set associative over {@link CacheLines}. A tag is
 * (space * 4 + size code) * 2^37 + key, exact in a double. Benchmarks: translate-hit-1k, translate-miss-1m.
 */
export class Iotlb {
  readonly kernel: Kernel;
  readonly spaces: AddressSpaces;
  readonly lines: CacheLines;
  readonly tags: Float64Array;
  readonly setMask: number;
  /** `turn`: the way to replace next. `blocks`: bit n is set when lines of size code n may exist. `globals`: so for nG = 0. */
  readonly state = { turn: 0, blocks: 0, globals: false };
  /** Indexes of every line that is filled, or was since the checkpoint. */
  readonly list: { readonly lines: Int32Array; length: number };
  readonly isListed: Uint8Array;

  constructor(kernel: Kernel, spaces: AddressSpaces, name: string, count: number) {
    this.kernel = kernel;
    this.spaces = spaces;
    this.lines = new CacheLines(name, count);
    this.tags = this.lines.tag;
    this.setMask = count / WAYS - 1;
    this.list = { lines: new Int32Array(count), length: 0 };
    this.lines.listed = this.list;
    this.isListed = new Uint8Array(count);
    kernel.checkpoints.keep(this.state);
    kernel.checkpoints.add(this);
    kernel.observer.cache(this.lines);
  }

  /** First line of the set of a key. `salt` spreads spaces that use the same addresses. */
  setOf(key: number, salt: number): number {
    return ((key ^ salt) & this.setMask) * WAYS;
  }

  /** The line of `set` with this tag, or -1. */
  find(set: number, tag: number): number {
    const { tags } = this;
    if (tags[set] === tag) return set;
    if (tags[set + 1] === tag) return set + 1;
    if (tags[set + 2] === tag) return set + 2;
    if (tags[set + 3] === tag) return set + 3;
    return -1;
  }

  /** A block line of `space` that holds `key`, or -1. */
  findBlock(space: number, key: number): number {
    for (let size = 1; size < ORDERS.length; size++) {
      if ((this.state.blocks & (1 << size)) === 0) continue;
      const unit = 2 ** ORDERS[size];
      const first = key - (key % unit);
      const i = this.find(this.setOf(first / unit, saltOf(space)), tagOf(space, size, first));
      if (i >= 0) return i;
    }
    return -1;
  }

  /** The line to fill with `tag`: an empty way of its set, else the next in turn. The caller fills every other field. */
  claim(set: number, tag: number): number {
    const { tags } = this;
    let i = set;
    if (tags[i] !== -1 && tags[++i] !== -1 && tags[++i] !== -1 && tags[++i] !== -1) {
      const turn = (this.state.turn + 1) & (WAYS - 1);
      this.state.turn = turn;
      i = set + turn;
    }
    if (this.isListed[i] === 0) this.enlist(i);
    tags[i] = tag;
    return i;
  }

  enlist(i: number): void {
    this.isListed[i] = 1;
    this.list.lines[this.list.length++] = i;
  }

  /** Drops every line (TLBI_NSNH_ALL). */
  dropAll(): void {
    for (let n = 0; n < this.list.length; n++) this.tags[this.list.lines[n]] = -1;
    this.state.blocks = 0;
    this.state.globals = false;
  }

  /** Drops every line of a stream world. */
  dropWorld(world: number): void {
    if (world === WORLD.EL1) this.dropAll();
  }

  /** Drops every line of a VMID (TLBI_NH_ALL). */
  dropVmid(vmid: number): void {
    for (let n = 0; n < this.list.length; n++) {
      const i = this.list.lines[n];
      if (this.tags[i] !== -1 && this.spaces.vmids[this.spaceOf(i)] === vmid) this.tags[i] = -1;
    }
  }

  /** Drops the lines of one ASID that are not global (TLBI_NH_ASID), whatever their ASET. */
  dropAsid(world: number, vmid: number, asid: number, shared = false): void {
    if (world !== WORLD.EL1) return;
    for (let aset = 0; aset < (shared ? 1 : 2); aset++) {
      const space = this.spaces.find(vmid, asid, aset);
      if (space >= 0) this.dropSpace(space);
    }
  }

  dropSpace(space: number): void {
    const first = tagOf(space, 0, 0);
    const end = tagOf(space + 1, 0, 0);
    for (let n = 0; n < this.list.length; n++) {
      const i = this.list.lines[n];
      const tag = this.tags[i];
      if (tag >= first && tag < end) this.tags[i] = -1;
    }
  }

  /** Drops lines by address (TLBI_NH_VA, TLBI_NH_VAA): any line that holds a page of the range goes whole. */
  dropRange(range: DropRange): void {
    const first = keyOfPage(range.first);
    if (range.world !== WORLD.EL1 || first < 0) return;
    this.dropKeys({ ...range, first, count: range.last - range.first + 1 });
  }

  dropKeys(range: KeyRange): void {
    if (range.asid < 0 || range.count > this.list.length) return this.dropScanned(range);
    for (let aset = 0; aset < 2; aset++) {
      this.dropPages(this.spaces.find(range.vmid, range.asid, aset), range);
      this.dropPages(this.spaces.find(range.vmid, GLOBAL, aset), range);
    }
  }

  dropPages(space: number, range: KeyRange): void {
    if (space < 0) return;
    for (let size = 0; size < ORDERS.length; size++) {
      if (size > 0 && (this.state.blocks & (1 << size)) === 0) continue;
      if (range.level !== 0 && range.level !== 3 - size) continue;
      const unit = 2 ** ORDERS[size];
      const end = range.first + range.count;
      for (let key = range.first - (range.first % unit); key < end; key += unit) {
        const i = this.find(this.setOf(key / unit, saltOf(space)), tagOf(space, size, key));
        if (i >= 0) this.tags[i] = -1;
      }
    }
  }

  dropScanned(range: KeyRange): void {
    const { tags, lines, spaces } = this;
    for (let n = 0; n < this.list.length; n++) {
      const i = this.list.lines[n];
      if (tags[i] === -1) continue;
      const space = this.spaceOf(i);
      if (spaces.vmids[space] !== range.vmid) continue;
      const asid = spaces.asids[space];
      if (range.asid >= 0 && asid !== range.asid && asid !== GLOBAL) continue;
      if (range.level !== 0 && this.levelOf(i) !== range.level) continue;
      const key = tags[i] % KEYS;
      if (key < range.first + range.count && key + 2 ** lines.order[i] > range.first) tags[i] = -1;
    }
  }

  /** The level of the descriptor that filled a line. */
  levelOf(i: number): number {
    return 3 - this.lines.order[i] / 9;
  }

  spaceOf(i: number): number {
    return Math.floor(this.tags[i] / (4 * KEYS));
  }

  /** Restoring touches only the lines that were filled since, and those that were filled at the checkpoint. */
  save(): () => void {
    const { lines } = this;
    const kept: { i: number; line: Line }[] = [];
    for (let n = 0; n < this.list.length; n++) {
      const i = this.list.lines[n];
      if (this.tags[i] !== -1) kept.push({ i, line: readLine(lines, i) });
    }
    return () => {
      for (let n = 0; n < this.list.length; n++) {
        const i = this.list.lines[n];
        this.tags[i] = -1;
        this.isListed[i] = 0;
      }
      this.list.length = 0;
      for (const { i, line } of kept) {
        this.enlist(i);
        writeLine(lines, i, line);
      }
    };
  }
}

/** The tag of a line: `size` is 0 for 4 KiB, 1 for 2 MiB, 2 for 1 GiB. */
export const tagOf = (space: number, size: number, key: number): number => (space * 4 + size) * KEYS + key;

/** What {@link Iotlb.setOf} mixes into the keys of a space. */
export const saltOf = (space: number): number => (space * 0x9e5) & 0xffff;

type Line = readonly [number, number, number, number, number, number, number, number, number];

const readLine = (lines: CacheLines, i: number): Line => [
  lines.tag[i],
  lines.page[i],
  lines.frame[i],
  lines.order[i],
  lines.flags[i],
  lines.pasid[i],
  lines.stream[i],
  lines.born[i],
  lines.generation[i],
];

function writeLine(lines: CacheLines, i: number, line: Line): void {
  lines.tag[i] = line[0];
  lines.page[i] = line[1];
  lines.frame[i] = line[2];
  lines.order[i] = line[3];
  lines.flags[i] = line[4];
  lines.pasid[i] = line[5];
  lines.stream[i] = line[6];
  lines.born[i] = line[7];
  lines.generation[i] = line[8];
}

/** The TLB key of a page, the top byte ignored: pages of the lower half, then of the upper. -1: in neither. */
function keyOfPage(whole: number): number {
  const page = whole % 2 ** 44;
  if (page >= 2 ** 43) return page >= 2 ** 44 - 2 ** 36 ? page - (2 ** 44 - 2 ** 37) : -1;
  return page < 2 ** 36 ? page : -1;
}
