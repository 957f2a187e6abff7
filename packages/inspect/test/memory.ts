/// <reference types="node" />
import type { Segment } from './elf-writer.js';

const PAGE = 4096;

/** A piece of RAM that tests build tables in: frames are handed out one after the other. */
export class Ram {
  readonly base: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  next: number;

  constructor(base: number, pages: number) {
    this.base = base;
    this.bytes = new Uint8Array(pages * PAGE);
    this.view = new DataView(this.bytes.buffer);
    this.next = base;
  }

  get segment(): Segment {
    return { base: this.base, bytes: this.bytes };
  }

  /** `pages` frames, aligned to their size. */
  frames(pages = 1): number {
    const at = Math.ceil(this.next / (pages * PAGE)) * pages * PAGE;
    this.next = at + pages * PAGE;
    if (this.next > this.base + this.bytes.length) throw new Error('the test needs more RAM');
    return at;
  }

  store(pa: number, ...words: bigint[]): void {
    words.forEach((word, i) => {
      this.view.setBigUint64(pa - this.base + i * 8, word, true);
    });
  }

  load(pa: number): bigint {
    return this.view.getBigUint64(pa - this.base, true);
  }

  /** The entry of `address` in tables that are `levels` deep, at `level` (1 holds pages); tables on the way are made with `flags`. */
  entry(root: number, levels: number, level: number, address: bigint, flags: bigint): number {
    let table = root;
    for (let at = levels; ; at--) {
      const slot = table + Number((address >> BigInt(12 + 9 * (at - 1))) % 512n) * 8;
      if (at === level) return slot;
      if (this.load(slot) === 0n) this.store(slot, BigInt(this.frames()) | flags);
      table = Number(this.load(slot) & 0xf_ffff_ffff_f000n);
    }
  }
}

/** One mapping: all that is known of a table is a list of them. */
export interface Mapping {
  readonly iova: bigint;
  readonly pa: bigint;
  readonly bytes: bigint;
  readonly read: boolean;
  readonly write: boolean;
}

/** What a list of mappings says of an address. */
export function flat(mappings: readonly Mapping[], iova: bigint, access: 'read' | 'write'): bigint | null {
  const found = mappings.find((mapping) => iova >= mapping.iova && iova < mapping.iova + mapping.bytes);
  return found?.[access] === true ? found.pa + (iova - found.iova) : null;
}
