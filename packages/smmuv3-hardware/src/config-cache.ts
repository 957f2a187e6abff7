import { CacheLines, type Kernel, LINE } from '@iommukit/kernel';
import { KIND, NUMBER, STRIDE } from './context-fields.js';
import type { SmmuV3 } from './device.js';

const STES = 64;
const STE_WORDS = 16;
const CONTEXTS = 256;
/** SSIDs have at most 20 bits; a tag counts "none" as 0. */
const SSIDS = 2 ** 21;
/** Configuration is about every page. */
const EVERY_PAGE = 52;

/** The context of a stepwise translation while its result is looked at: no cached one. */
export const OWN_CONTEXT = CONTEXTS * STRIDE;

/**
 * STEs and contexts (a CD as its STE makes it look, decoded once), direct mapped. Apart from the TLB: the commands that drop
 * one leave the other. Entries may hold what was invalid or illegal when it was fetched (smmuv3.md 2.4); a fetch that
 * failed is not kept.
 */
export class ConfigCache {
  readonly kernel: Kernel;
  /** The cached STEs, for oracles; a tag is the StreamID. */
  readonly steLines: CacheLines;
  /** The cached CDs, for oracles; a tag is StreamID * 2^21 + SSID + 1 (0: without SSID). */
  readonly cdLines: CacheLines;
  /** StreamIDs of the cached STEs; -1 is an empty entry. */
  readonly streams: Float64Array;
  /** Their words, as fetched. */
  readonly stes = new Uint32Array(STES * STE_WORDS);
  /** CONTEXT fields. */
  readonly contexts = new Float64Array((CONTEXTS + 1) * STRIDE);
  /** NUMBER fields, at the same offsets. */
  readonly numbers = new Int32Array((CONTEXTS + 1) * STRIDE);
  /** The last context that was translated with; -1 when it has to be looked up again. */
  memoStream = -1;
  memoSsid = -2;
  memo = 0;
  memoSalt = 0;
  /** Changed since the checkpoint: STEs, then contexts. */
  readonly touched = new Uint8Array(STES + CONTEXTS);
  readonly journal: number[] = [];

  constructor(smmu: SmmuV3) {
    const { kernel, name } = smmu;
    this.kernel = kernel;
    this.steLines = new CacheLines(`${name} STE cache`, STES, 'configuration');
    this.cdLines = new CacheLines(`${name} CD cache`, CONTEXTS, 'configuration');
    this.streams = this.steLines.tag;
    for (const lines of [this.steLines, this.cdLines]) {
      // They lead to no frame of their own.
      lines.frame.fill(-1);
      lines.order.fill(EVERY_PAGE);
      kernel.observer.cache(lines);
    }
    kernel.checkpoints.add(this);
  }

  /** Index of the words of a cached STE in {@link stes}, or -1. */
  findSte(stream: number): number {
    const slot = stream % STES;
    return this.streams[slot] === stream ? slot * STE_WORDS : -1;
  }

  /** Tells oracles that the cached STE at an index of {@link stes} is used. */
  useSte(at: number): void {
    this.kernel.observer.used(this.steLines, at / STE_WORDS);
  }

  /** Tells oracles that a cached context is used for a walk. */
  useContext(at: number): void {
    this.kernel.observer.used(this.cdLines, at / STRIDE);
  }

  /** Keeps the words of an STE, whose fetch began at step `born`. */
  keepSte(stream: number, words: Uint32Array, born: number): void {
    const slot = stream % STES;
    this.touch(slot);
    fillLine(this.steLines, slot, stream, stream, -1, born);
    this.stes.set(words, slot * STE_WORDS);
    this.kernel.observer.filled(this.steLines, slot, stream, -1);
  }

  /** Offset in {@link contexts} of the cached context, or -1. `ssid` is -1 without one. */
  findContext(stream: number, ssid: number): number {
    const slot = slotOf(stream, ssid);
    return this.cdLines.tag[slot] === tagOf(stream, ssid) ? slot * STRIDE : -1;
  }

  /** Requests of (stream, ssid) use the context at `at` without looking for it, until {@link forget}. */
  remember(stream: number, ssid: number, at: number): void {
    this.memoStream = stream;
    this.memoSsid = ssid;
    this.memo = at;
    this.memoSalt = this.numbers[at + NUMBER.SALT];
  }

  /** Keeps a decoded context. Returns its offset in {@link contexts}. */
  keepContext(stream: number, ssid: number, contexts: Float64Array, numbers: Int32Array, born: number): number {
    const slot = slotOf(stream, ssid);
    this.touch(STES + slot);
    this.forget();
    fillLine(this.cdLines, slot, tagOf(stream, ssid), stream, ssid, born);
    if (numbers[NUMBER.KIND] === KIND.BAD_CD) this.cdLines.flags[slot] = LINE.ABSENT;
    this.contexts.set(contexts, slot * STRIDE);
    this.numbers.set(numbers, slot * STRIDE);
    this.kernel.observer.filled(this.cdLines, slot, stream, ssid);
    return slot * STRIDE;
  }

  /** CMD_CFGI_STE(_RANGE): drops the STEs of [first, last] and every context reached through them. */
  dropStreams(first: number, last: number): void {
    for (let slot = 0; slot < STES; slot++) {
      if (!(this.streams[slot] >= first && this.streams[slot] <= last)) continue;
      this.touch(slot);
      this.streams[slot] = -1;
    }
    this.dropContexts(first, last);
  }

  /** CMD_CFGI_CD_ALL: drops the contexts of streams [first, last]. */
  dropContexts(first: number, last: number): void {
    this.dropTags(first * SSIDS, last * SSIDS + SSIDS - 1);
  }

  /** CMD_CFGI_CD: CD 0 also serves requests without an SSID. */
  dropContext(stream: number, ssid: number): void {
    this.dropTags(ssid === 0 ? tagOf(stream, -1) : tagOf(stream, ssid), tagOf(stream, ssid));
  }

  dropTags(first: number, last: number): void {
    this.forget();
    const { tag } = this.cdLines;
    for (let slot = 0; slot < CONTEXTS; slot++) {
      if (!(tag[slot] >= first && tag[slot] <= last)) continue;
      this.touch(STES + slot);
      tag[slot] = -1;
    }
  }

  /** The next request looks its context up again. */
  forget(): void {
    this.memoStream = -1;
    this.memoSsid = -2;
  }

  touch(entry: number): void {
    if (this.touched[entry] === 1) return;
    this.touched[entry] = 1;
    this.journal.push(entry);
  }

  /** Restoring writes back only the entries that changed, and what oracles marked. */
  save(): () => void {
    const { stes, contexts, numbers, steLines, cdLines } = this;
    const kept = { stes: stes.slice(), contexts: contexts.slice(), numbers: numbers.slice() };
    const lines = [steLines, cdLines].map(({ tag, flags, pasid, stream, born }) => ({
      tag: tag.slice(),
      flags: flags.slice(),
      pasid: pasid.slice(),
      stream: stream.slice(),
      born: born.slice(),
    }));
    for (const entry of this.journal.splice(0)) this.touched[entry] = 0;
    return () => {
      this.forget();
      steLines.flags.set(lines[0].flags);
      cdLines.flags.set(lines[1].flags);
      for (const entry of this.journal.splice(0)) {
        this.touched[entry] = 0;
        if (entry < STES) {
          restoreLine(steLines, lines[0], entry);
          const at = entry * STE_WORDS;
          stes.set(kept.stes.subarray(at, at + STE_WORDS), at);
        } else {
          restoreLine(cdLines, lines[1], entry - STES);
          const at = (entry - STES) * STRIDE;
          contexts.set(kept.contexts.subarray(at, at + STRIDE), at);
          numbers.set(kept.numbers.subarray(at, at + STRIDE), at);
        }
      }
    };
  }
}

const tagOf = (stream: number, ssid: number): number => stream * SSIDS + ssid + 1;

const slotOf = (stream: number, ssid: number): number => ((stream * 37 + ssid) >>> 0) % CONTEXTS;

function fillLine(lines: CacheLines, i: number, tag: number, stream: number, pasid: number, born: number): void {
  lines.tag[i] = tag;
  lines.flags[i] = 0;
  lines.stream[i] = stream;
  lines.pasid[i] = pasid;
  lines.born[i] = born;
}

function restoreLine(lines: CacheLines, from: Pick<CacheLines, 'tag' | 'pasid' | 'stream' | 'born'>, i: number): void {
  lines.tag[i] = from.tag[i];
  lines.pasid[i] = from.pasid[i];
  lines.stream[i] = from.stream[i];
  lines.born[i] = from.born[i];
}
