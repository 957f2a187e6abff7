/** Linux's error names, as thrown by services: what a kernel function would return as -ENODEV is `code: 'ENODEV'`. */
export type ErrorCode =
  | 'EACCES'
  | 'EAGAIN'
  | 'EBUSY'
  | 'EEXIST'
  | 'EFAULT'
  | 'EINTR'
  | 'EINVAL'
  | 'EIO'
  | 'ENODEV'
  | 'ENOENT'
  | 'ENOMEM'
  | 'ENOSPC'
  | 'EOPNOTSUPP'
  | 'EOVERFLOW'
  | 'ERANGE'
  | 'ESRCH'
  | 'ETIMEDOUT';

const BRAND = Symbol.for('iommukit.error');

/** What a caller did wrong, or cannot have: a stable code, the rule behind it, and what to do about it. */
export class IommuError extends Error {
  readonly code: ErrorCode;
  /** The rule's id in the fact sheets (`SVA-1`), or null. */
  readonly rule: string | null;
  /** What the caller can do about it, or null. */
  readonly remedy: string | null;

  constructor(code: ErrorCode, message: string, about: { rule?: string; remedy?: string } = {}) {
    super(about.remedy ? `${message} (${code}): ${about.remedy}` : `${message} (${code})`);
    this.name = 'IommuError';
    this.code = code;
    this.rule = about.rule ?? null;
    this.remedy = about.remedy ?? null;
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/** True for an {@link IommuError} of any copy of this package, optionally of one code. */
export function isIommuError(error: unknown, code?: ErrorCode): error is IommuError {
  return (
    error instanceof Error && BRAND in error && (code === undefined || (error as { code?: unknown }).code === code)
  );
}

/** What cannot happen. Stays on in releases. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${what}`);
}
