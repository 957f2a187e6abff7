/** A stretch of memory for {@link elfCore}. */
export interface Segment {
  readonly base: number;
  readonly bytes: Uint8Array;
  /** p_memsz, where it is more than there are bytes. */
  readonly size?: number;
}

/** How {@link elfCore} writes. */
export interface ElfShape {
  readonly bits?: 32 | 64;
  /** The number of segments stands in section header 0 (PN_XNUM). */
  readonly extended?: boolean;
  /** Bytes between the headers and the first segment: QEMU aligns nothing. */
  readonly gap?: number;
}

const AT = {
  32: { header: 52, phoff: 28, shoff: 32, phentsize: 42, phnum: 44, segment: 32, section: 40, info: 28 },
  64: { header: 64, phoff: 32, shoff: 40, phentsize: 54, phnum: 56, segment: 56, section: 64, info: 44 },
} as const;

/** An ELF core file with a note and these segments, as the specification of ELF and the manual of QEMU have it. */
export function elfCore(
  segments: readonly Segment[],
  { bits = 64, extended = false, gap = 0x98 }: ElfShape = {},
): Uint8Array {
  const at = AT[bits];
  const headers = at.header + at.section + (segments.length + 1) * at.segment;
  const total = segments.reduce((sum, { bytes }) => sum + bytes.length, headers + gap);
  const file = new Uint8Array(total);
  const view = new DataView(file.buffer);
  const word = (place: number, value: number): void => {
    if (bits === 32) view.setUint32(place, value, true);
    else view.setBigUint64(place, BigInt(value), true);
  };
  file.set([0x7f, 0x45, 0x4c, 0x46, bits / 32, 1, 1]);
  view.setUint16(16, 4, true); // ET_CORE
  view.setUint16(18, bits === 64 ? 62 : 3, true);
  view.setUint32(20, 1, true);
  word(at.shoff, at.header);
  word(at.phoff, at.header + at.section);
  view.setUint16(at.phentsize, at.segment, true);
  view.setUint16(at.phnum, extended ? 0xffff : segments.length + 1, true);
  if (extended) view.setUint32(at.header + at.info, segments.length + 1, true);
  let place = at.header + at.section;
  view.setUint32(place, 4, true); // PT_NOTE
  let offset = headers + gap;
  for (const { base, bytes, size } of segments) {
    place += at.segment;
    const [poff, paddr, filesz, memsz] = bits === 32 ? [4, 12, 16, 20] : [8, 24, 32, 40];
    view.setUint32(place, 1, true); // PT_LOAD
    word(place + poff!, offset);
    word(place + paddr!, base);
    word(place + filesz!, bytes.length);
    word(place + memsz!, size ?? bytes.length);
    file.set(bytes, offset);
    offset += bytes.length;
  }
  return file;
}
