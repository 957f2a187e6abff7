import type { ByteSource } from './byte-source.js';

const PAGE = 4096;
/** Bytes that are asked of the system at a time: pages one by one cost more than they hold. */
const SLAB = 256 * PAGE;

/**
 * Bytes that arrive in order and of which only the pages are kept that are not all zeros: what an unpacker gives. A machine's memory is
 * mostly zeros once it was filtered.
 */
export class SparseBytes implements ByteSource {
  readonly name: string;
  /** Bytes appended so far. */
  size = 0;
  /** What is kept, by offset / 4096. */
  readonly pages = new Map<number, Uint8Array>();
  /** Where kept pages are put, and how much of it is used. */
  slab = new Uint8Array(0);
  used = 0;
  /** The page that is being filled, if it has to be put together. */
  readonly open = new Uint8Array(PAGE);

  constructor(name = 'stream') {
    this.name = name;
  }

  /** Bytes kept. */
  get kept(): number {
    return this.pages.size * PAGE;
  }

  /** The next bytes. They are copied. */
  append(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const at = this.size % PAGE;
      const length = Math.min(PAGE - at, bytes.length - from);
      const part = bytes.subarray(from, from + length);
      if (length === PAGE) this.keep(part);
      else this.appendPart(at, part);
      this.size += length;
      from += length;
    }
  }

  /** As many zeros come next: nothing is looked at. */
  appendZeros(length: number): void {
    const page = Math.floor(this.size / PAGE);
    this.size += length;
    if (Math.floor(this.size / PAGE) !== page) this.open.fill(0);
  }

  /** A piece of a page. */
  appendPart(at: number, part: Uint8Array): void {
    this.open.set(part, at);
    const end = at + part.length;
    const number = Math.floor(this.size / PAGE);
    // The rest stays as it was before: zeros beyond the end are cut off here, not kept.
    if (end < PAGE) this.open.fill(0, end);
    const known = this.pages.get(number);
    if (known === undefined) this.keep(this.open, number);
    else known.set(this.open);
  }

  keep(page: Uint8Array, number = this.size / PAGE): void {
    if (isZero(page)) return;
    if (this.used === this.slab.length) {
      this.slab = new Uint8Array(SLAB);
      this.used = 0;
    }
    const place = this.slab.subarray(this.used, this.used + PAGE);
    this.used += PAGE;
    place.set(page);
    this.pages.set(number, place);
  }

  read(offset: number, into: Uint8Array): void {
    for (let from = 0; from < into.length; ) {
      const at = (offset + from) % PAGE;
      const length = Math.min(PAGE - at, into.length - from);
      const page = this.pages.get(Math.floor((offset + from) / PAGE));
      const part = into.subarray(from, from + length);
      if (page === undefined) part.fill(0);
      else part.set(page.subarray(at, at + length));
      from += length;
    }
  }
}

/** A page of zeros: by words where it is aligned, which is where the time goes. */
function isZero(page: Uint8Array): boolean {
  if (page.byteOffset % 4 !== 0) return page.every((byte) => byte === 0);
  const words = new Int32Array(page.buffer, page.byteOffset, page.length >>> 2);
  for (let i = 0; i < words.length; i += 4) {
    if ((words[i]! | words[i + 1]! | words[i + 2]! | words[i + 3]!) !== 0) return false;
  }
  return true;
}
