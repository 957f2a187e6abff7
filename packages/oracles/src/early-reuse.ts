import { type CacheLines, type FrameMemory, type Kernel, LINE } from '@iommukit/kernel';
import type { RightMm } from './right-mm.js';

const FRAME = 4096;
/** Entries of PASIDs that are fetched in pieces: context descriptors and PASID entries. */
const ENTRIES: ReadonlySet<string> = new Set(['CD', 'PASID entry']);
const ENTRY_BYTES = 64;

/** Frames, and their words where they lie in this process. */
export interface ReadableMemory extends FrameMemory {
  load64?(pa: number, out: Uint32Array): unknown;
}

/** Where hardware has found the entry of a PASID. */
interface Place {
  readonly unit: string;
  readonly pasid: number;
  /** Of the frame: it may be another's by now. */
  readonly generation: number;
}

/**
 * INV-4: a number is not handed out while a cached translation, an entry in memory, or a page request that software is at work with
 * still uses it; an entry is stored by the present owner of its number only, and is all zero once the last bond that uses it is gone.
 */
export class EarlyReuse {
  readonly kernel: Kernel;
  readonly memory: ReadableMemory;
  readonly faults: RightMm;
  readonly caches: CacheLines[] = [];
  /** Physical address → whose entry is there, as far as hardware has looked. */
  readonly places = new Map<number, Place>();
  /** `unit/ASID` → the address space that had it last. */
  readonly asids = new Map<string, string>();
  /** Address space → PASID: also of those that are gone. */
  readonly pasids = new Map<string, number>();
  readonly word = new Uint32Array(2);

  constructor(kernel: Kernel, memory: ReadableMemory, faults: RightMm) {
    this.kernel = kernel;
    this.memory = memory;
    this.faults = faults;
    kernel.checkpoints.keepList(this.caches);
    kernel.checkpoints.keepMap(this.places);
    kernel.checkpoints.keepMap(this.asids);
    kernel.checkpoints.keepMap(this.pasids);
  }

  bound(pasid: number, space: string): void {
    this.pasids.set(space, pasid);
  }

  entry(unit: string, what: string, pa: number, pasid: number): void {
    if (pasid <= 0 || !ENTRIES.has(what)) return;
    this.places.set(pa, { unit, pasid, generation: this.memory.generationOf(Math.floor(pa / FRAME)) });
  }

  /** The last bond of a PASID behind a unit is gone. */
  unbound(unit: string, pasid: number): void {
    for (const [pa, place] of this.places) {
      if (place.pasid !== pasid || place.unit !== unit) continue;
      if (!this.isZero(pa, place)) {
        this.violate(
          `the entry of PASID ${pasid} at 0x${pa.toString(16)} of ${unit} is not zero when its last bond is gone`,
        );
      }
      this.places.delete(pa);
    }
  }

  /** An entry is about to be stored. */
  stored(pa: number, words: Uint32Array, bonds: ReadonlyMap<number, number>): void {
    const place = this.places.get(pa);
    if (place === undefined || bonds.has(place.pasid) || words.every((word) => word === 0)) return;
    if (!this.isSame(pa, place)) return;
    this.violate(`an entry is stored for PASID ${place.pasid} of ${place.unit}, which is bound to nothing`);
  }

  handedOut(kind: 'PASID' | 'ASID', number: number, space: string, unit: string): void {
    if (kind === 'PASID') this.pasidHandedOut(number);
    else this.asidHandedOut(number, space, unit);
  }

  pasidHandedOut(pasid: number): void {
    for (const lines of this.caches) this.checkLines(lines, pasid, `PASID ${pasid}`);
    const [ask] = this.faults.taken(pasid);
    if (ask !== undefined) {
      this.violate(
        `PASID ${pasid} is handed out while group ${ask.group} of ${ask.device}, asked for ${ask.space}, is not answered`,
      );
    }
  }

  asidHandedOut(asid: number, space: string, unit: string): void {
    const key = `${unit}/${asid}`;
    const before = this.pasids.get(this.asids.get(key) ?? '');
    if (before !== undefined) {
      for (const lines of this.caches) {
        // Configurations are found by stream and PASID.
        if (lines.holder !== unit || lines.kind === 'configuration') continue;
        this.checkLines(lines, before, `ASID ${asid} of ${unit}`);
      }
    }
    this.asids.set(key, space);
  }

  /** A line that was there when the number was given up, and still is. */
  checkLines({ name, count, tag, pasid, flags, page, listed }: CacheLines, of: number, what: string): void {
    const length = listed === null ? count : listed.length;
    for (let n = 0; n < length; n++) {
      const i = listed === null ? n : listed.lines[n]!;
      if (tag[i] === -1 || pasid[i] !== of || (flags[i]! & LINE.STALE) === 0 || (flags[i]! & LINE.ABSENT) !== 0)
        continue;
      this.violate(
        `${what} is handed out while ${name} has a line for page 0x${page[i]!.toString(16)} of its last owner`,
      );
    }
  }

  isSame(pa: number, { generation }: Place): boolean {
    return this.memory.generationOf(Math.floor(pa / FRAME)) === generation;
  }

  isZero(pa: number, place: Place): boolean {
    const { memory, word } = this;
    if (memory.load64 === undefined || !this.isSame(pa, place)) return true;
    for (let at = 0; at < ENTRY_BYTES; at += 8) {
      memory.load64(pa + at, word);
      if (word[0] !== 0 || word[1] !== 0) return false;
    }
    return true;
  }

  violate(story: string): void {
    this.kernel.violate('INV-4', story);
  }
}
