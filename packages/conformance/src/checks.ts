import { type Coroutine, type ErrorCode, isIommuError } from '@iommukit/kernel';

/** A backend does not do what its contract says. */
export class ConformanceError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConformanceError';
  }
}

/** Fails unless `actual` is `expected`, compared as JSON where they are objects. */
export function same(actual: unknown, expected: unknown, what: string): void {
  const [is, should] = [shown(actual), shown(expected)];
  if (is !== should) throw new ConformanceError(`${what}: it is ${is}, and should be ${should}`);
}

/** Fails with `what` unless it holds. */
export function holds(condition: boolean, what: string): void {
  if (!condition) throw new ConformanceError(what);
}

/** Fails unless `body` throws an IommuError with one of these codes. Whatever else it throws goes on. */
export function* refused(codes: ErrorCode | readonly ErrorCode[], body: Coroutine<unknown>, what: string) {
  const wanted: readonly ErrorCode[] = typeof codes === 'string' ? [codes] : codes;
  const code = yield* codeOf(body);
  if (code !== null && wanted.includes(code)) return;
  throw new ConformanceError(`${what}: it ${code === null ? 'was done' : `threw ${code}`}, not ${wanted.join(' or ')}`);
}

/** The code of the IommuError that `body` throws, or null. Whatever else it throws goes on. */
export function* codeOf(body: Coroutine<unknown>): Coroutine<ErrorCode | null> {
  try {
    yield* body;
    return null;
  } catch (error) {
    if (isIommuError(error)) return error.code;
    throw error;
  }
}

/** `hexOf(16n)` is `0x10`. */
export function hexOf(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

function shown(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => (typeof item === 'bigint' ? hexOf(item) : item)) ?? 'undefined';
}
