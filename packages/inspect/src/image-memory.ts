import { type Kernel, PhysicalMemory } from '@iommukit/kernel';
import { InspectError } from './inspect-error.js';
import type { MemoryImage } from './memory-image.js';

const PAGE = 4096;
const PAGE_WORDS = 1024;
/** Pages that are kept after they were read. When there are more, all are forgotten, and read again when they are asked for. */
const MOST_READ = 4096;
/** Pages that differ from the image. When there are more, all are as they were again: only the unit itself writes. */
const MOST_WRITTEN = 4096;
/** Every frame that is there has this index: nothing is kept by frame. */
const THERE = 0;

/**
 * The memory of an image, as a hardware model sees it: pages are read when they are first looked at, and what the model writes (flags
 * in tables, fault records) stays here. The image is never written, and no frame has an owner or a generation.
 * @throws InspectError ENOTHELD from reading memory that the machine has and the image does not hold
 */
export class ImageMemory extends PhysicalMemory {
  readonly image: MemoryImage;
  /** Where registers are: no memory, whatever the image says. */
  readonly window = { from: 0, to: 0 };
  readonly read4K = new Map<number, Uint32Array>();
  readonly written = new Map<number, Uint32Array>();
  /** The page of the last access, and its number. */
  page: Uint32Array | null = null;
  pageNumber = -1;

  constructor(kernel: Kernel, image: MemoryImage) {
    super(kernel, []);
    this.image = image;
  }

  override indexOf(pfn: number): number {
    return this.takes(pfn * PAGE) ? THERE : -1;
  }

  override generationOf(): number {
    return 0;
  }

  /** There are no chunks: the short ways that need them are not taken. */
  override chunkOf(): Uint32Array | null {
    return null;
  }

  override contains(pa: number): boolean {
    return this.takes(pa);
  }

  override load32(pa: number): number {
    if (!this.has(pa)) return 0xffffffff;
    return this.pageOf(pa)[(pa % PAGE) >>> 2]!;
  }

  override load64(pa: number, out: Uint32Array): boolean {
    const there = this.has(pa);
    const page = there ? this.pageOf(pa) : null;
    const at = ((pa % PAGE) >>> 3) * 2;
    out[0] = page === null ? 0xffffffff : page[at]!;
    out[1] = page === null ? 0xffffffff : page[at + 1]!;
    return there;
  }

  override store32(pa: number, value: number): boolean {
    if (!this.takes(pa)) return false;
    this.writablePage(pa)[(pa % PAGE) >>> 2] = value;
    return true;
  }

  override store64(pa: number, lo: number, hi: number): boolean {
    if (!this.takes(pa)) return false;
    const page = this.writablePage(pa);
    const at = ((pa % PAGE) >>> 3) * 2;
    page[at] = lo;
    page[at + 1] = hi;
    return true;
  }

  override read(pa: number, into: Uint8Array): void {
    this.eachFrame(pa, into.length, (index, offset, from, bytes) => {
      const part = into.subarray(from, from + bytes);
      if (index < 0 || !this.has(pa + from)) part.fill(0xff);
      else part.set(new Uint8Array(this.pageOf(pa + from).buffer, offset, bytes));
    });
  }

  override write(pa: number, data: Uint8Array): void {
    this.eachFrame(pa, data.length, (index, offset, from, bytes) => {
      if (index < 0) return;
      new Uint8Array(this.writablePage(pa + from).buffer, offset, bytes).set(data.subarray(from, from + bytes));
    });
  }

  /** Everything is as in the image again. */
  forget(): void {
    this.written.clear();
    this.pageNumber = -1;
    this.page = null;
  }

  /** The machine has memory there, which can be read. @throws InspectError ENOTHELD where the image does not hold it */
  has(pa: number): boolean {
    if (!this.takes(pa)) return false;
    const range = this.image.find(pa)!;
    if (pa - range.base < range.held || this.written.has(Math.floor(pa / PAGE))) return true;
    const name = this.image.source.name;
    throw new InspectError(
      'ENOTHELD',
      name,
      `memory at 0x${pa.toString(16)} is left out of it`,
      'dump all of the memory',
    );
  }

  /** The machine has memory there, which can be written: also where the image does not hold it. */
  takes(pa: number): boolean {
    const { from, to } = this.window;
    return !(pa >= from && pa < to) && this.image.find(pa) !== null;
  }

  pageOf(pa: number): Uint32Array {
    const number = Math.floor(pa / PAGE);
    if (number === this.pageNumber) return this.page!;
    const page = this.written.get(number) ?? this.read4K.get(number) ?? this.fetch(number);
    this.pageNumber = number;
    this.page = page;
    return page;
  }

  fetch(number: number): Uint32Array {
    const bytes = new Uint8Array(PAGE);
    this.image.read(number * PAGE, bytes);
    const page = new Uint32Array(bytes.buffer, 0, PAGE_WORDS);
    if (this.read4K.size >= MOST_READ) this.read4K.clear();
    this.read4K.set(number, page);
    return page;
  }

  writablePage(pa: number): Uint32Array {
    const number = Math.floor(pa / PAGE);
    const known = this.written.get(number);
    if (known !== undefined) return known;
    if (this.written.size >= MOST_WRITTEN) this.forget();
    const page = this.pageOf(pa).slice();
    this.written.set(number, page);
    this.pageNumber = number;
    this.page = page;
    return page;
  }
}
