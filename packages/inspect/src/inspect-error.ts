/**
 * What can be wrong with an image, a register file or a request. The codes are stable; the messages are for people.
 *
 * | code | meaning |
 * |---|---|
 * | EBADMAGIC | not an ELF core file |
 * | EBADHEADER | a header's number is impossible |
 * | ETRUNCATED | the file ends before what its headers promise |
 * | ELIMIT | more than is read here |
 * | ENOTSUP | legal, but not read here |
 * | ENOTHELD | the machine has that memory, but the image does not hold it |
 * | EBADREGISTER | a line or a value of a register file cannot be understood |
 * | EOVERLAP | an address of the register files is given twice |
 * | ENOREGISTER | a register that is needed is in none of the files |
 * | EBADREQUEST | a request cannot be understood |
 */
export type InspectErrorCode =
  | 'EBADMAGIC'
  | 'EBADHEADER'
  | 'ETRUNCATED'
  | 'ELIMIT'
  | 'ENOTSUP'
  | 'ENOTHELD'
  | 'EBADREGISTER'
  | 'EOVERLAP'
  | 'ENOREGISTER'
  | 'EBADREQUEST';

/** What is wrong with an image, a register file or a request: where, and what to do about it. */
export class InspectError extends Error {
  override readonly name = 'InspectError';
  readonly code: InspectErrorCode;
  /** `FILE:LINE`, `FILE`, a register's name, a header's field. */
  readonly where: string;
  /** What to do about it. */
  readonly remedy: string;

  constructor(code: InspectErrorCode, where: string, problem: string, remedy: string) {
    super(`${where}: ${problem}; ${remedy} [${code}]`);
    this.code = code;
    this.where = where;
    this.remedy = remedy;
  }
}

/** Whether `error` is an {@link InspectError}, of that code if one is given; works across copies of this package. */
export function isInspectError(error: unknown, code?: InspectErrorCode): error is InspectError {
  if (!(error instanceof Error) || error.name !== 'InspectError') return false;
  return code === undefined || (error as InspectError).code === code;
}
