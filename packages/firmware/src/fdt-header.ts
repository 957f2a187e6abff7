import { FirmwareError } from './firmware-error.js';

/** Where the blocks of a flattened devicetree lie: byte offsets, all checked to be inside the file. */
export interface FdtHeader {
  readonly totalSize: number;
  readonly version: number;
  readonly bootCpu: number;
  readonly reservations: number;
  readonly struct: number;
  readonly structEnd: number;
  readonly strings: number;
  readonly stringsEnd: number;
}

const MAGIC = 0xd00dfeed;
const FIELD = { totalsize: 4, off_dt_struct: 8, off_dt_strings: 12, off_mem_rsvmap: 16, version: 20 } as const;
const LAST_COMPATIBLE = 24;
const BOOT_CPU = 28;
const SIZE_STRINGS = 32;
const SIZE_STRUCT = 36;
/** The oldest and the newest version whose layout is known here (Devicetree Specification, chapter 5). */
const OLDEST = 16;
const NEWEST = 17;

/**
 * Reads and checks the header (Devicetree Specification 5.2). Throws EBADMAGIC, EBADVERSION, ETRUNCATED, EBADHEADER.
 */
export function readHeader(bytes: Uint8Array, view: DataView): FdtHeader {
  if (bytes.length >= 4 && view.getUint32(0) !== MAGIC) throw notADevicetree(view.getUint32(0));
  if (bytes.length < 40) {
    throw new FirmwareError(
      'ETRUNCATED',
      'header',
      bytes.length,
      `the file has ${bytes.length} bytes`,
      'a devicetree has at least 40',
    );
  }
  const totalSize = view.getUint32(FIELD.totalsize);
  const version = view.getUint32(FIELD.version);
  const lastCompatible = view.getUint32(LAST_COMPATIBLE);
  if (version < OLDEST || lastCompatible > NEWEST || lastCompatible > version) {
    throw new FirmwareError(
      'EBADVERSION',
      'header.version',
      FIELD.version,
      `version ${version}, readable from version ${lastCompatible} on`,
      `versions ${OLDEST} and ${NEWEST} are read: write it again with dtc -V 17`,
    );
  }
  if (totalSize > bytes.length) {
    throw new FirmwareError(
      'ETRUNCATED',
      'header.totalsize',
      FIELD.totalsize,
      `${totalSize} bytes are announced, the file has ${bytes.length}`,
      'the file is cut short: copy it again',
    );
  }
  const headerSize = version >= 17 ? 40 : 36;
  if (totalSize < headerSize) throw bad('totalsize', FIELD.totalsize, `${totalSize} is less than the header itself`);

  const struct = view.getUint32(FIELD.off_dt_struct);
  const strings = view.getUint32(FIELD.off_dt_strings);
  const reservations = view.getUint32(FIELD.off_mem_rsvmap);
  const stringsEnd = strings + view.getUint32(SIZE_STRINGS);
  // Version 16 does not say how long the structure block is: FDT_END ends it.
  const structEnd = version >= 17 ? struct + view.getUint32(SIZE_STRUCT) : totalSize;
  if (struct % 4 !== 0) throw bad('off_dt_struct', FIELD.off_dt_struct, `${struct} is not a multiple of 4`);
  if (struct < headerSize) throw bad('off_dt_struct', FIELD.off_dt_struct, `${struct} lies inside the header`);
  if (structEnd > totalSize || struct >= totalSize) {
    throw bad(
      'off_dt_struct',
      FIELD.off_dt_struct,
      `the structure block ends at ${structEnd}, behind the end of the tree (${totalSize})`,
    );
  }
  if (strings < headerSize) throw bad('off_dt_strings', FIELD.off_dt_strings, `${strings} lies inside the header`);
  if (stringsEnd > totalSize) {
    throw bad(
      'off_dt_strings',
      FIELD.off_dt_strings,
      `the strings block ends at ${stringsEnd}, behind the end of the tree (${totalSize})`,
    );
  }
  if (version >= 17 && struct < stringsEnd && strings < structEnd) {
    throw bad('off_dt_strings', FIELD.off_dt_strings, 'the strings block overlaps the structure block');
  }
  if (reservations % 8 !== 0)
    throw bad('off_mem_rsvmap', FIELD.off_mem_rsvmap, `${reservations} is not a multiple of 8`);
  if (reservations < headerSize || reservations + 16 > totalSize) {
    throw bad('off_mem_rsvmap', FIELD.off_mem_rsvmap, `${reservations} leaves no room for a reservation block`);
  }
  return {
    totalSize,
    version,
    bootCpu: view.getUint32(BOOT_CPU),
    reservations,
    struct,
    structEnd,
    strings,
    stringsEnd,
  };
}

function bad(field: string, offset: number, problem: string): FirmwareError {
  return new FirmwareError(
    'EBADHEADER',
    `header.${field}`,
    offset,
    problem,
    'the header is damaged: take the file from its source again',
  );
}

function notADevicetree(word: number): FirmwareError {
  const looks: Readonly<Record<number, string>> = {
    4248271448: 'this is an xz file: unpack it first',
    682962941: 'this is a zstd file: unpack it first',
    795112563: 'this is devicetree source: compile it with dtc first',
    3992849872: 'its bytes are swapped: a devicetree is big-endian on every machine',
  };
  const gzip = word >>> 16 === 0x1f8b ? 'this is a gzip file: unpack it first' : undefined;
  const remedy = gzip ?? looks[word] ?? 'give a flattened devicetree (.dtb)';
  return new FirmwareError(
    'EBADMAGIC',
    'header.magic',
    0,
    `the file starts with 0x${word.toString(16).padStart(8, '0')}, not with 0xd00dfeed`,
    remedy,
  );
}
