import type { ByteSource } from './byte-source.js';
import { InspectError, type InspectErrorCode } from './inspect-error.js';
import { type ImageRange, MemoryImage } from './memory-image.js';

const ELF_MAGIC = 0x464c457f;
const ET_CORE = 4;
const PT_LOAD = 1;
/** e_phnum of a file with more segments than it can count: section header 0 has their number. */
const PN_XNUM = 0xffff;
/** No machine has memory beyond. */
const ADDRESS_LIMIT = 2 ** 52;
/** A machine with its memory in more pieces is not read here. */
const MOST_SEGMENTS = 2 ** 18;
/** Program headers that are read at a time. */
const BLOCK = 512;

/** Where the numbers of headers stand, by class. */
const LAYOUTS = {
  32: { header: 52, phoff: 28, shoff: 32, phentsize: 42, phnum: 44, segment: 32, section: 40, info: 28 },
  64: { header: 64, phoff: 32, shoff: 40, phentsize: 54, phnum: 56, segment: 56, section: 64, info: 44 },
} as const;

/**
 * The memory that an ELF core file has, as QEMU's `dump-guest-memory` writes it: PT_LOAD segments by p_paddr, everything else is left
 * alone. Only the headers are read.
 * @throws InspectError EBADMAGIC, EBADHEADER, ETRUNCATED, ELIMIT, ENOTSUP
 */
export function readElfCore(source: ByteSource): MemoryImage {
  return new ElfCore(source).image();
}

class ElfCore {
  readonly source: ByteSource;
  readonly bits: 32 | 64;

  constructor(source: ByteSource) {
    this.source = source;
    this.bits = this.identify();
  }

  identify(): 32 | 64 {
    const { source } = this;
    if (source.size < 16) throw this.wrong('EBADMAGIC', 'the file is too short to be an ELF core', KINDS);
    const ident = this.view(0, 16, 'e_ident');
    if (ident.getUint32(0, true) !== ELF_MAGIC) throw this.wrong('EBADMAGIC', magicProblem(ident), KINDS);
    const [kind, order] = [ident.getUint8(4), ident.getUint8(5)];
    if (kind !== 1 && kind !== 2)
      throw this.wrong('EBADHEADER', `its class is ${kind}`, 'it must be 1 or 2', 'EI_CLASS');
    if (order === 2)
      throw this.wrong('ENOTSUP', 'a big-endian machine', 'give the image of a little-endian one', 'EI_DATA');
    if (order !== 1) throw this.wrong('EBADHEADER', `its byte order is ${order}`, 'it must be 1', 'EI_DATA');
    return kind === 1 ? 32 : 64;
  }

  image(): MemoryImage {
    const at = LAYOUTS[this.bits];
    const header = this.view(0, at.header, 'the ELF header');
    const type = header.getUint16(16, true);
    if (type !== ET_CORE) throw this.wrong('ENOTSUP', `its type is ${type}, not a core (4)`, KINDS, 'e_type');
    const entry = header.getUint16(at.phentsize, true);
    const count = this.count(header);
    if (count > 0 && entry !== at.segment) {
      throw this.wrong('EBADHEADER', `${entry} bytes`, `a program header has ${at.segment}`, 'e_phentsize');
    }
    if (count > MOST_SEGMENTS) {
      throw this.wrong('ELIMIT', `${count} segments`, `at most ${MOST_SEGMENTS} are read`, 'e_phnum');
    }
    const ranges = this.segments(this.word(header, at.phoff), count);
    if (ranges.length === 0) throw this.wrong('EBADHEADER', 'no segment has memory', KINDS, 'PT_LOAD');
    return new MemoryImage(this.source, ranges);
  }

  /** Program headers. */
  count(header: DataView): number {
    const at = LAYOUTS[this.bits];
    const count = header.getUint16(at.phnum, true);
    if (count !== PN_XNUM) return count;
    const sections = this.word(header, at.shoff);
    if (sections === 0)
      throw this.wrong('EBADHEADER', 'it says PN_XNUM, and there is no section header', DAMAGED, 'e_phnum');
    return this.view(sections, at.section, 'section header 0').getUint32(at.info, true);
  }

  segments(start: number, count: number): ImageRange[] {
    const bytes = LAYOUTS[this.bits].segment;
    const ranges: ImageRange[] = [];
    for (let first = 0; first < count; first += BLOCK) {
      const n = Math.min(BLOCK, count - first);
      const block = this.view(start + first * bytes, n * bytes, `program headers ${first} to ${first + n - 1}`);
      for (let i = 0; i < n; i++) {
        const range = this.segment(new DataView(block.buffer, block.byteOffset + i * bytes, bytes), first + i);
        if (range !== null) add(ranges, range);
      }
    }
    return ranges;
  }

  /** What a segment has of memory; null where it has none. */
  segment(view: DataView, index: number): ImageRange | null {
    if (view.getUint32(0, true) !== PT_LOAD) return null;
    const places = this.bits === 32 ? [4, 12, 16, 20] : [8, 24, 32, 40];
    const [offset, base, held, bytes] = places.map((at) => this.word(view, at)) as [number, number, number, number];
    const where = `program header ${index}`;
    if (bytes === 0) return null;
    if (held > bytes)
      throw this.wrong('EBADHEADER', `p_filesz ${hex(held)} is more than p_memsz ${hex(bytes)}`, DAMAGED, where);
    if (base + bytes > ADDRESS_LIMIT) {
      throw this.wrong(
        'EBADHEADER',
        `memory at ${hex(base)} with ${hex(bytes)} bytes: addresses have 52 bits`,
        DAMAGED,
        where,
      );
    }
    if (offset + held > this.source.size) {
      const problem = `its bytes end at ${hex(offset + held)}, and the file at ${hex(this.source.size)}`;
      throw this.wrong('ETRUNCATED', problem, 'give the whole file', where);
    }
    return { base, bytes, held, offset };
  }

  /** An address or a size: 32 bits, or 64, of which what a double cannot hold is far beyond every limit. */
  word(view: DataView, at: number): number {
    if (this.bits === 32) return view.getUint32(at, true);
    return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  }

  view(offset: number, bytes: number, what: string): DataView {
    if (offset + bytes > this.source.size) {
      const problem = `${what} would end at ${hex(offset + bytes)}, and the file ends at ${hex(this.source.size)}`;
      throw this.wrong('ETRUNCATED', problem, 'give the whole file');
    }
    const into = new Uint8Array(bytes);
    this.source.read(offset, into);
    return new DataView(into.buffer);
  }

  wrong(code: InspectErrorCode, problem: string, remedy: string, where = ''): InspectError {
    return new InspectError(code, where === '' ? this.source.name : `${this.source.name}: ${where}`, problem, remedy);
  }
}

const KINDS = "give an ELF core file, as QEMU's dump-guest-memory writes it without -z, -l or -s";
const DAMAGED = 'the file is damaged';

function magicProblem(ident: DataView): string {
  const start = String.fromCharCode(...Array.from({ length: 8 }, (_, i) => ident.getUint8(i)));
  if (start.startsWith('KDUMP')) return 'it is a compressed kdump';
  if (start.startsWith('\xfd7zXZ')) return 'it is packed with xz';
  if (start.startsWith('\x1f\x8b')) return 'it is packed with gzip';
  return 'it does not begin as an ELF file';
}

/** Segments that continue one another in memory and in the file become one range. */
function add(ranges: ImageRange[], range: ImageRange): void {
  const last = ranges.at(-1);
  const continues = last !== undefined && last.held === last.bytes && last.base + last.bytes === range.base;
  if (!continues || last.offset + last.bytes !== range.offset) {
    ranges.push(range);
    return;
  }
  ranges[ranges.length - 1] = { ...last, bytes: last.bytes + range.bytes, held: last.held + range.held };
}

const hex = (value: number): string => `0x${value.toString(16)}`;
