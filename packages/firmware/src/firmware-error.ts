/**
 * What can be wrong with a firmware description. The codes are stable; the messages are for people.
 *
 * | code | meaning |
 * |---|---|
 * | EBADMAGIC | not a flattened devicetree at all, or not the ACPI table that was asked for |
 * | EBADVERSION | a devicetree in a version that is not read here |
 * | ETRUNCATED | the file ends before the size that its header gives |
 * | ECHECKSUM | the bytes of an ACPI table do not add up |
 * | EBADHEADER | a block's offset or size in the header is impossible |
 * | EBADSTRUCT | the structure is damaged: token, nesting, padding, a length that leaves its block or node |
 * | EBADNAME | a node's or property's name is missing, unterminated, too long or not printable |
 * | EDEPTH | nodes are nested deeper than the limit |
 * | EDUPLICATE | two siblings, two properties, two phandles or two PCI segments are the same |
 * | ENOPROPERTY | a property that is needed is missing |
 * | EBADPROPERTY | a property's value has the wrong length or an impossible content |
 * | ERANGE | a number is too large to be kept exactly |
 * | ENOPHANDLE | a reference names a phandle that no node has, or a node of the wrong kind |
 * | EBADREFERENCE | a reference of an ACPI table leads to no node, or to one of the wrong kind |
 * | EOVERLAP | two ranges that must be apart overlap |
 * | ENOTSUP | legal, but not read here |
 */
export type FirmwareErrorCode =
  | 'EBADMAGIC'
  | 'EBADVERSION'
  | 'ETRUNCATED'
  | 'ECHECKSUM'
  | 'EBADHEADER'
  | 'EBADSTRUCT'
  | 'EBADNAME'
  | 'EDEPTH'
  | 'EDUPLICATE'
  | 'ENOPROPERTY'
  | 'EBADPROPERTY'
  | 'ERANGE'
  | 'ENOPHANDLE'
  | 'EBADREFERENCE'
  | 'EOVERLAP'
  | 'ENOTSUP';

/** The only error that reading firmware throws: what is wrong, where, and what to do about it. */
export class FirmwareError extends Error {
  override readonly name = 'FirmwareError';
  readonly code: FirmwareErrorCode;
  /** Byte offset in the file; null when no single place is to blame. */
  readonly offset: number | null;
  /** The place by name: a header field, a node's path, or `path:property`. */
  readonly where: string;
  /** What to do about it. */
  readonly remedy: string;

  constructor(code: FirmwareErrorCode, where: string, offset: number | null, problem: string, remedy: string) {
    const place = offset === null ? where : `${where} (offset 0x${offset.toString(16)})`;
    super(`${place}: ${problem}; ${remedy} [${code}]`);
    this.code = code;
    this.offset = offset;
    this.where = where;
    this.remedy = remedy;
  }
}

/** Whether `error` is a `FirmwareError`, of that code if one is given; works across copies of this package. */
export function isFirmwareError(error: unknown, code?: FirmwareErrorCode): error is FirmwareError {
  if (!(error instanceof Error) || error.name !== 'FirmwareError') return false;
  return code === undefined || (error as FirmwareError).code === code;
}
