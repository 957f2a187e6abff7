/**
 * What went wrong with QEMU.
 * - `MISSING`: no program was found · `UNUSABLE`: one was found, and it is too old or does not run
 * - `REFUSED`: it exited before it answered (its arguments, its files) · `NO_SPACE`: the disk has no room for its memory
 * - `DIED`: it ended while it was used, or a signal ended it before · `HUNG`: it gave no answer in time and was killed
 * - `PROTOCOL`: an answer that is none, or FAIL or ERR · `STOPPED`: it is used after `stop()`
 * - `ABSENT`: the machine has no such device, register or memory
 */
export type QemuErrorCode =
  | 'ABSENT'
  | 'DIED'
  | 'HUNG'
  | 'MISSING'
  | 'NO_SPACE'
  | 'PROTOCOL'
  | 'REFUSED'
  | 'STOPPED'
  | 'UNUSABLE';

const BRAND = Symbol.for('iommukit.qemu-error');

/** QEMU cannot be had, started or used: what happened, what to do about it, and what QEMU said. */
export class QemuError extends Error {
  readonly code: QemuErrorCode;
  /** What the user can do about it, or null. */
  readonly remedy: string | null;
  /** What QEMU wrote to its standard error, without the last line's end; empty if nothing. */
  readonly stderr: string;

  constructor(code: QemuErrorCode, message: string, about: { remedy?: string; stderr?: string } = {}) {
    const remedy = about.remedy === undefined ? '' : `: ${about.remedy}`;
    const stderr = (about.stderr ?? '').trimEnd();
    super(`${message}${remedy}${stderr === '' ? '' : `\nQEMU says: ${stderr}`}`);
    this.name = 'QemuError';
    this.code = code;
    this.remedy = about.remedy ?? null;
    this.stderr = stderr;
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/** True for a {@link QemuError} of any copy of this package, optionally of one code. */
export function isQemuError(error: unknown, code?: QemuErrorCode): error is QemuError {
  return (
    error instanceof Error && BRAND in error && (code === undefined || (error as { code?: unknown }).code === code)
  );
}
