import type { Kernel } from '@iommukit/kernel';

const STES = 64;
const STE_WORDS = 16;
const CONTEXTS = 256;
/** Doubles, and integers, of one context. */
const STRIDE = 16;
/** SSIDs have at most 20 bits; a tag counts "none" as 0. */
const SSIDS = 2 ** 21;

/** Where a context keeps its doubles: offsets in {@link ConfigCache.contexts}. Pages and frames are address / 4096. */
export const CONTEXT = {
  /** StreamID * 2^21 + SSID + 1 (0: without SSID); -1 is an empty entry. */
  TAG: 0,
  /** Pages of the lower half that are in range; 0 where nothing is translated. */
  LOW: 1,
  /** Tag of the space's 4 KiB line of key 0; NaN where nothing is translated, so that no line ever matches. */
  BASE: 2,
  /** First frame beyond the output address size. */
  OUTPUT: 3,
  /** Pages of the upper half that are in range. */
  HIGH: 4,
  /** Frames of the first tables of the two halves. */
  TABLE0: 5,
  TABLE1: 6,
} as const;

/** Where a context keeps its integers: offsets in {@link ConfigCache.numbers}. */
export const NUMBER = {
  /** {@link KIND}. */
  KIND: 0,
  /** {@link FLAG} bits. */
  FLAGS: 1,
  /** {@link saltOf} the space. */
  SALT: 2,
  /** The space of lines with nG = 1, and that of global lines. */
  SPACE: 3,
  GLOBAL_SPACE: 4,
  /**
   * The first table of the lower half: its level (-1: EPD, no walks), the mask of its index, where it begins in its frame (in
   * 32-bit words: a first table may be smaller than a frame), and its frame (-1: no 31-bit number; it is in {@link CONTEXT}). Then
   * those of the upper half.
   */
  START0: 5,
  MASK0: 6,
  OFFSET0: 7,
  FRAME0: 8,
  START1: 9,
  MASK1: 10,
  OFFSET1: 11,
  FRAME1: 12,
} as const;

/** What a context does with a request. */
export const KIND = {
  /** Stage 1 translates. */
  STAGE1: 0,
  /** The output address is the input address. */
  BYPASS: 1,
  /** The CD is illegal: every request gets C_BAD_CD until software says that it changed. */
  BAD_CD: 2,
} as const;

/** Bits of a context's FLAGS. */
export const FLAG = {
  AFFD: 1,
  WXN: 2,
  PAN: 8,
  HAD0: 16,
  HAD1: 32,
  TBI0: 64,
  TBI1: 128,
  /** Those above that change the rights of a leaf. */
  RIGHTS: 2 + 8,
  /** CD.A: a terminated transaction aborts. */
  ABORT: 256,
  /** CD.R: faults are recorded. */
  RECORD: 512,
  /** CD.S: faults stall. */
  STALL: 1024,
} as const;

/**
 * STEs and contexts (a CD as its STE makes it look, decoded once), direct mapped. Apart from the TLB: the commands that drop
 * one leave the other. Entries may hold what was invalid or illegal when it was fetched (smmuv3.md 2.4); a fetch that
 * failed is not kept.
 */
export class ConfigCache {
  readonly kernel: Kernel;
  /** StreamIDs of the cached STEs; -1 is an empty entry. */
  readonly streams = new Float64Array(STES).fill(-1);
  /** Their words, as fetched. */
  readonly stes = new Uint32Array(STES * STE_WORDS);
  /** {@link CONTEXT} fields. */
  readonly contexts = new Float64Array(CONTEXTS * STRIDE);
  /** {@link NUMBER} fields, at the same offsets. */
  readonly numbers = new Int32Array(CONTEXTS * STRIDE);
  /** The last context that was looked up; -1 when it has to be looked up again. */
  memoStream = -1;
  memoSsid = -2;
  memo = 0;
  memoSalt = 0;
  /** Changed since the checkpoint: STEs, then contexts. */
  readonly touched = new Uint8Array(STES + CONTEXTS);
  readonly journal: number[] = [];

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    for (let at = 0; at < this.contexts.length; at += STRIDE) this.contexts[at] = -1;
    kernel.checkpoints.add(this);
  }

  /** Index of the words of a cached STE in {@link stes}, or -1. */
  findSte(stream: number): number {
    const slot = stream % STES;
    return this.streams[slot] === stream ? slot * STE_WORDS : -1;
  }

  /** Keeps the words of an STE. */
  keepSte(stream: number, words: Uint32Array): void {
    const slot = stream % STES;
    this.touch(slot);
    this.streams[slot] = stream;
    this.stes.set(words, slot * STE_WORDS);
  }

  /** Offset in {@link contexts} of the cached context, or -1. `ssid` is -1 without one. */
  findContext(stream: number, ssid: number): number {
    const at = contextOf(stream, ssid);
    if (this.contexts[at] !== stream * SSIDS + ssid + 1) return -1;
    this.memoStream = stream;
    this.memoSsid = ssid;
    this.memo = at;
    this.memoSalt = this.numbers[at + NUMBER.SALT];
    return at;
  }

  /** Clears the place of a context, to be filled by the caller; the tag is set. Returns its offset in {@link contexts}. */
  keepContext(stream: number, ssid: number): number {
    const at = contextOf(stream, ssid);
    this.touch(STES + at / STRIDE);
    this.forget();
    this.contexts.fill(0, at, at + STRIDE);
    this.numbers.fill(0, at, at + STRIDE);
    this.contexts[at] = stream * SSIDS + ssid + 1;
    return at;
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
    this.dropTags(stream * SSIDS + (ssid === 0 ? 0 : ssid + 1), stream * SSIDS + ssid + 1);
  }

  dropTags(first: number, last: number): void {
    this.forget();
    for (let at = 0; at < this.contexts.length; at += STRIDE) {
      const tag = this.contexts[at];
      if (!(tag >= first && tag <= last)) continue;
      this.touch(STES + at / STRIDE);
      this.contexts[at] = -1;
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

  /** Restoring writes back only the entries that changed. */
  save(): () => void {
    const { streams, stes, contexts, numbers } = this;
    const kept = { streams: streams.slice(), stes: stes.slice(), contexts: contexts.slice(), numbers: numbers.slice() };
    for (const entry of this.journal.splice(0)) this.touched[entry] = 0;
    return () => {
      this.forget();
      for (const entry of this.journal.splice(0)) {
        this.touched[entry] = 0;
        if (entry < STES) {
          streams[entry] = kept.streams[entry];
          const at = entry * STE_WORDS;
          stes.set(kept.stes.subarray(at, at + STE_WORDS), at);
        } else {
          const at = (entry - STES) * STRIDE;
          contexts.set(kept.contexts.subarray(at, at + STRIDE), at);
          numbers.set(kept.numbers.subarray(at, at + STRIDE), at);
        }
      }
    };
  }
}

function contextOf(stream: number, ssid: number): number {
  return (((stream * 37 + ssid) >>> 0) % CONTEXTS) * STRIDE;
}
