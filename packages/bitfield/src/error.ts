/** What a wrong declaration, or a value that does not fit its field, is reported as; the message names structure and field. */
export class BitfieldError extends Error {
  override readonly name = 'BitfieldError';
  /** Stable across releases: `declaration` when a structure is declared wrongly, `range` when a value does not fit. */
  readonly code: 'declaration' | 'range';

  constructor(code: 'declaration' | 'range', message: string) {
    super(message);
    this.code = code;
  }
}

/** True for a {@link BitfieldError} of any copy of this package. */
export const isBitfieldError = (error: unknown): error is BitfieldError =>
  error instanceof Error && error.name === 'BitfieldError';
