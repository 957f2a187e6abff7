import { assert, IommuError } from './errors.js';
import type { FrameMemory } from './frame-space.js';
import { FrameAllocator, type FrameRegion } from './frames.js';
import type { Kernel } from './kernel.js';

/** A range of RAM. Base and size are multiples of 2 MiB. */
export interface MemoryRegion {
  /** Physical address of the first byte. */
  readonly base: number;
  readonly bytes: number;
}

/**
 * Physical memory as 32- and 64-bit words. Addresses are numbers ≤ 2^52; `out` gets [lo, hi].
 * @throws IommuError EINVAL for a word access that is not aligned to its width: no driver here makes one
 */
export interface WordMemory {
  load32(pa: number): number;
  store32(pa: number, value: number): void;
  load64(pa: number, out: Uint32Array): void;
  store64(pa: number, lo: number, hi: number): void;
  /** One atomic step: stores (lo, hi) if the word equals `old`; true if it did. */
  swap64(pa: number, old: Uint32Array, lo: number, hi: number): boolean;
  /** Copies bytes out of memory. */
  read(pa: number, into: Uint8Array): void;
  /** Copies bytes into memory. */
  write(pa: number, from: Uint8Array): void;
}

const FRAME = 4096;
const FRAME_WORDS = 1024;
const CHUNK_FRAMES = 512;

/** The frame was never written: it is all zeros, and nothing of it needs to be kept. */
const BLANK = 0;
/** The frame was written before the checkpoint, and not since. */
const WRITTEN = 1;
/** The frame was written since the checkpoint (or since ever, before there is one). */
const TOUCHED = 2;

/**
 * Sparse RAM: a few regions, backed on first use by chunks of 2 MiB, indexed by frame number (never `pa >>> 12`: RAM lies
 * above 4 GiB too). Reads outside RAM give all ones and writes are ignored: what a bus does with them is its business. The
 * words are little-endian, as is every host that runs this.
 */
export class PhysicalMemory implements WordMemory, FrameMemory {
  readonly kernel: Kernel;
  readonly regions: readonly FrameRegion[];
  /** The first region, whose dense indexes begin at 0. */
  readonly firstPfn: number;
  readonly firstFrames: number;
  readonly chunks: (Uint32Array | null)[];
  readonly frameCount: number;
  readonly frames: FrameAllocator;
  /** By frame: {@link BLANK}, {@link WRITTEN} or {@link TOUCHED}. */
  readonly history: Uint8Array;
  /** The touched frames, with what was in those that were written before the checkpoint. */
  readonly saved: { readonly index: number; readonly words: Uint32Array | null }[] = [];
  readonly spare: Uint32Array[] = [];
  readonly word = new Uint32Array(2);

  constructor(kernel: Kernel, regions: readonly MemoryRegion[]) {
    this.kernel = kernel;
    let index = 0;
    this.regions = [...regions]
      .sort((a, b) => a.base - b.base)
      .map(({ base, bytes }) => {
        assert(base % (FRAME * CHUNK_FRAMES) === 0 && bytes % (FRAME * CHUNK_FRAMES) === 0, 'RAM is aligned to 2 MiB');
        const region = { firstPfn: base / FRAME, frames: bytes / FRAME, firstIndex: index };
        index += region.frames;
        return region;
      });
    this.firstPfn = this.regions[0]?.firstPfn ?? 0;
    this.firstFrames = this.regions[0]?.frames ?? 0;
    this.frameCount = index;
    this.chunks = new Array<Uint32Array | null>(index / CHUNK_FRAMES).fill(null);
    this.history = new Uint8Array(index);
    this.frames = new FrameAllocator(kernel, this);
    kernel.checkpoints.add(this);
  }

  /** The dense index of a frame, or -1 outside RAM. */
  indexOf(pfn: number): number {
    // Most machines have one region. Benchmark: translate-miss-1k.
    const offset = pfn - this.firstPfn;
    return offset >= 0 && offset < this.firstFrames ? offset : this.indexBeyond(pfn);
  }

  indexBeyond(pfn: number): number {
    for (let i = 1; i < this.regions.length; i++) {
      const region = this.regions[i]!;
      const offset = pfn - region.firstPfn;
      if (offset >= 0 && offset < region.frames) return region.firstIndex + offset;
    }
    return -1;
  }

  /** The frame number of a dense index. */
  pfnOf(index: number): number {
    const region = this.regions.find((r) => index < r.firstIndex + r.frames)!;
    return region.firstPfn + (index - region.firstIndex);
  }

  /** True if `pa` lies in RAM. */
  contains(pa: number): boolean {
    return this.indexOf(Math.floor(pa / FRAME)) >= 0;
  }

  /** Odd while the frame is allocated, even while it is free; differs each time its owner does. 0 outside RAM. */
  generationOf(pfn: number): number {
    const index = this.indexOf(pfn);
    return index < 0 ? 0 : this.frames.generation[index]!;
  }

  /** The words of the chunk of frame `index`, for reading: null if nothing was ever written there (all zero). */
  chunkOf(index: number): Uint32Array | null {
    return this.chunks[index >>> 9]!;
  }

  /** The chunk of frame `index`, made on first use; the frame's old content is kept for a restore. */
  writable(index: number): Uint32Array {
    if (this.history[index] !== TOUCHED) this.touch(index);
    return this.chunks[index >>> 9] ?? this.makeChunk(index);
  }

  makeChunk(index: number): Uint32Array {
    const chunk = new Uint32Array(CHUNK_FRAMES * FRAME_WORDS);
    this.chunks[index >>> 9] = chunk;
    return chunk;
  }

  /** A frame is about to be written for the first time since the checkpoint. */
  touch(index: number): void {
    const words = this.history[index] === BLANK ? null : this.copyOf(index);
    this.history[index] = TOUCHED;
    this.saved.push({ index, words });
  }

  copyOf(index: number): Uint32Array {
    const words = this.spare.pop() ?? new Uint32Array(FRAME_WORDS);
    const at = (index & 511) * FRAME_WORDS;
    words.set(this.chunkOf(index)!.subarray(at, at + FRAME_WORDS));
    return words;
  }

  load32(pa: number): number {
    if ((pa & 3) !== 0) misaligned(pa, 4);
    const index = this.indexOf(Math.floor(pa / FRAME));
    if (index < 0) return 0xffffffff;
    const chunk = this.chunkOf(index);
    return chunk === null ? 0 : chunk[(index & 511) * FRAME_WORDS + ((pa & 4095) >>> 2)]!;
  }

  /** @returns false outside RAM */
  store32(pa: number, value: number): boolean {
    if ((pa & 3) !== 0) misaligned(pa, 4);
    const index = this.indexOf(Math.floor(pa / FRAME));
    if (index < 0) return false;
    this.writable(index)[(index & 511) * FRAME_WORDS + ((pa & 4095) >>> 2)] = value;
    if (this.kernel.watchers.size !== 0) this.kernel.stored(Math.floor(pa / 8));
    return true;
  }

  /** @returns false outside RAM */
  load64(pa: number, out: Uint32Array): boolean {
    if ((pa & 7) !== 0) misaligned(pa, 8);
    const index = this.indexOf(Math.floor(pa / FRAME));
    const chunk = index < 0 ? null : this.chunkOf(index);
    if (chunk === null) {
      out[0] = out[1] = index < 0 ? 0xffffffff : 0;
      return index >= 0;
    }
    const at = (index & 511) * FRAME_WORDS + ((pa & 4095) >>> 3) * 2;
    out[0] = chunk[at]!;
    out[1] = chunk[at + 1]!;
    return true;
  }

  /** @returns false outside RAM */
  store64(pa: number, lo: number, hi: number): boolean {
    if ((pa & 7) !== 0) misaligned(pa, 8);
    const index = this.indexOf(Math.floor(pa / FRAME));
    if (index < 0) return false;
    const chunk = this.writable(index);
    const at = (index & 511) * FRAME_WORDS + ((pa & 4095) >>> 3) * 2;
    chunk[at] = lo;
    chunk[at + 1] = hi;
    if (this.kernel.watchers.size !== 0) this.kernel.stored(Math.floor(pa / 8));
    return true;
  }

  swap64(pa: number, old: Uint32Array, lo: number, hi: number): boolean {
    const now = this.word;
    if (!this.load64(pa, now) || now[0] !== old[0] || now[1] !== old[1]) return false;
    return this.store64(pa, lo, hi);
  }

  read(pa: number, into: Uint8Array): void {
    this.eachFrame(pa, into.length, (index, offset, from, bytes) => {
      const chunk = index < 0 ? null : this.chunkOf(index);
      const part = into.subarray(from, from + bytes);
      if (chunk === null) part.fill(index < 0 ? 0xff : 0);
      else part.set(new Uint8Array(chunk.buffer, (index & 511) * FRAME + offset, bytes));
    });
  }

  write(pa: number, data: Uint8Array): void {
    this.eachFrame(pa, data.length, (index, offset, from, bytes) => {
      if (index < 0) return;
      new Uint8Array(this.writable(index).buffer, (index & 511) * FRAME + offset, bytes).set(
        data.subarray(from, from + bytes),
      );
    });
    if (this.kernel.watchers.size === 0) return;
    const end = Math.ceil((pa + data.length) / 8);
    for (let word = Math.floor(pa / 8); word < end; word++) this.kernel.stored(word);
  }

  eachFrame(
    pa: number,
    length: number,
    each: (index: number, offset: number, from: number, bytes: number) => void,
  ): void {
    for (let from = 0; from < length; ) {
      const pfn = Math.floor((pa + from) / FRAME);
      const offset = pa + from - pfn * FRAME;
      const bytes = Math.min(FRAME - offset, length - from);
      each(this.indexOf(pfn), offset, from, bytes);
      from += bytes;
    }
  }

  /** Zeroes a frame that its allocator hands out again. */
  zero(index: number): void {
    if (this.history[index] === BLANK) return;
    const at = (index & 511) * FRAME_WORDS;
    this.writable(index).fill(0, at, at + FRAME_WORDS);
  }

  /** From here on old contents are kept; restoring puts back only the frames that were touched. */
  save(): () => void {
    for (const { index } of this.saved.splice(0)) this.history[index] = WRITTEN;
    return () => {
      for (let i = 0; i < this.saved.length; i++) this.putBack(this.saved[i]!.index, this.saved[i]!.words);
      this.saved.length = 0;
    };
  }

  putBack(index: number, words: Uint32Array | null): void {
    const chunk = this.chunkOf(index)!;
    const at = (index & 511) * FRAME_WORDS;
    this.history[index] = words === null ? BLANK : WRITTEN;
    if (words === null) chunk.fill(0, at, at + FRAME_WORDS);
    else {
      chunk.set(words, at);
      this.spare.push(words);
    }
  }
}

function misaligned(pa: number, bytes: number): never {
  throw new IommuError('EINVAL', `a ${bytes}-byte access to 0x${pa.toString(16)} is not aligned`, {
    remedy: 'use accesses aligned to their width',
  });
}
