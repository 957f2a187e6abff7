import { describe, expect, it } from 'vitest';
import { elfCore } from '../test/elf-writer.js';
import { bytesSource, isInspectError, type MemoryImage, readElfCore } from './index.js';

const page = (fill: number): Uint8Array => new Uint8Array(4096).fill(fill);
const two = () =>
  elfCore([
    { base: 0x1000, bytes: page(1) },
    { base: 0x1_0000_0000, bytes: page(2) },
  ]);

const open = (bytes: Uint8Array): MemoryImage => readElfCore(bytesSource(bytes, 'mem.elf'));

function changed(bytes: Uint8Array, at: number, width: 1 | 2 | 4 | 8, value: number | bigint): Uint8Array {
  const view = new DataView(bytes.buffer);
  if (width === 8) view.setBigUint64(at, BigInt(value), true);
  else if (width === 4) view.setUint32(at, Number(value), true);
  else if (width === 2) view.setUint16(at, Number(value), true);
  else view.setUint8(at, Number(value));
  return bytes;
}

/** The second program header of a 64-bit file: the note comes first. */
const LOAD = 64 + 64 + 56;

describe('readElfCore', () => {
  it('finds memory by physical address, whatever the segments are aligned to', () => {
    const image = open(two());
    expect(image.ranges.map(({ base, bytes }) => [base, bytes])).toEqual([
      [0x1000, 4096],
      [0x1_0000_0000, 4096],
    ]);
    const into = new Uint8Array(16);
    image.read(0x1_0000_0ff8, into);
    expect([...into]).toEqual([2, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(image.find(0x2000)).toBeNull();
    expect(image.end).toBe(0x1_0000_1000);
  });

  it('reads 32-bit files, and counts of segments that stand in section header 0 (PN_XNUM)', () => {
    for (const shape of [{ bits: 32 }, { bits: 32, extended: true }, { extended: true }] as const) {
      const image = open(elfCore([{ base: 0x8000, bytes: page(7) }], shape));
      expect(image.ranges).toMatchObject([{ base: 0x8000, bytes: 4096, held: 4096 }]);
    }
  });

  it('makes one range of segments that continue one another', () => {
    const pages = [0, 1, 2].map((n) => ({ base: n * 4096, bytes: page(n) }));
    expect(open(elfCore(pages)).ranges).toMatchObject([{ base: 0, bytes: 3 * 4096, held: 3 * 4096 }]);
  });

  it('takes the first of segments that overlap', () => {
    const image = open(
      elfCore([
        { base: 0x2000, bytes: page(1) },
        { base: 0x1000, bytes: new Uint8Array(0x3000).fill(2) },
      ]),
    );
    const into = new Uint8Array(1);
    const at = (pa: number) => {
      image.read(pa, into);
      return into[0];
    };
    expect([0x1fff, 0x2000, 0x2fff, 0x3000, 0x3fff].map(at)).toEqual([2, 1, 1, 2, 2]);
    expect(image.bytes).toBe(0x3000);
  });

  it('knows memory that is left out of the file', () => {
    const image = open(elfCore([{ base: 0, bytes: page(1), size: 0x4000 }]));
    expect(image.ranges).toMatchObject([{ base: 0, bytes: 0x4000, held: 0x1000 }]);
  });

  it.each<[string, () => Uint8Array, string, RegExp]>([
    ['an empty file', () => new Uint8Array(0), 'EBADMAGIC', /too short/],
    [
      'a text',
      () => new TextEncoder().encode('MIT License. Copyright …'),
      'EBADMAGIC',
      /does not begin as an ELF file; give an ELF core/,
    ],
    [
      'a kdump',
      () => new TextEncoder().encode('KDUMP   and so on        '),
      'EBADMAGIC',
      /compressed kdump.*without -z/,
    ],
    [
      'an xz file',
      () => Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4, ...page(0)),
      'EBADMAGIC',
      /packed with xz/,
    ],
    ['a gzip file', () => Uint8Array.of(0x1f, 0x8b, 8, ...page(0)), 'EBADMAGIC', /packed with gzip/],
    ['a third class', () => changed(two(), 4, 1, 3), 'EBADHEADER', /EI_CLASS: its class is 3/],
    ['a big-endian file', () => changed(two(), 5, 1, 2), 'ENOTSUP', /EI_DATA: a big-endian machine/],
    ['an executable', () => changed(two(), 16, 2, 2), 'ENOTSUP', /e_type: its type is 2/],
    ['program headers of 57 bytes', () => changed(two(), 54, 2, 57), 'EBADHEADER', /e_phentsize: 57 bytes/],
    ['no program headers', () => changed(two(), 56, 2, 0), 'EBADHEADER', /no segment has memory/],
    ['PN_XNUM without sections', () => changed(changed(two(), 56, 2, 0xffff), 40, 8, 0), 'EBADHEADER', /PN_XNUM/],
    [
      'too many segments',
      () => changed(changed(two(), 56, 2, 0xffff), 64 + 44, 4, 0xffff_ffff),
      'ELIMIT',
      /4294967295 segments/,
    ],
    [
      'headers beyond the end',
      () => changed(two(), 32, 8, 2n ** 60n),
      'ETRUNCATED',
      /program headers 0 to 2 would end/,
    ],
    [
      'a segment beyond the end',
      () => changed(two(), LOAD + 8, 8, 0x10000),
      'ETRUNCATED',
      /program header 1: its bytes end/,
    ],
    ['half a file', () => two().subarray(0, 0x1800), 'ETRUNCATED', /give the whole file/],
    ['an address above 52 bits', () => changed(two(), LOAD + 24, 8, 2n ** 52n), 'EBADHEADER', /addresses have 52 bits/],
    [
      'an address of 64 bits',
      () => changed(two(), LOAD + 24, 8, 2n ** 64n - 1n),
      'EBADHEADER',
      /addresses have 52 bits/,
    ],
    [
      'more in the file than in memory',
      () => changed(two(), LOAD + 40, 8, 16),
      'EBADHEADER',
      /p_filesz 0x1000 is more than p_memsz 0x10/,
    ],
  ])('refuses %s', (_what, make, code, message) => {
    let error: unknown;
    try {
      open(make());
    } catch (caught) {
      error = caught;
    }
    expect(isInspectError(error, code as 'EBADMAGIC'), String(error)).toBe(true);
    expect(String(error)).toMatch(message);
    expect(String(error)).toContain('mem.elf');
  });
});
