/** Choices that differ from the fair one: [number of the choice, index taken], ascending. */
export type Choices = readonly (readonly [asked: number, index: number])[];

/** The token format. A token of another version is refused: its choices would mean something else. */
export const TOKEN_VERSION = 1;

/** Why a token was refused. */
export class TokenError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TokenError';
  }
}

/** True for a {@link TokenError} of any copy of this package. */
export function isTokenError(error: unknown): error is TokenError {
  return error instanceof Error && error.name === 'TokenError';
}

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_';

/** `ik<version>.<hash of scenario and settings>.<payload>`. The payload lists only choices that differ from the fair one. */
export function encodeToken(hash: string, choices: Choices): string {
  return encodeFlat(hash, choices.flat());
}

/** {@link encodeToken} of choices in one flat list, as the kernel notes them: asked, index, asked, index … */
export function encodeFlat(hash: string, choices: readonly number[]): string {
  let payload = '';
  let last = -1;
  for (let i = 0; i < choices.length; i += 2) {
    payload += varint(choices[i]! - last - 1) + varint(choices[i + 1]!);
    last = choices[i]!;
  }
  return `ik${TOKEN_VERSION}.${hash}.${payload || '0'}`;
}

/**
 * The choices of a token.
 * @throws TokenError when it is malformed, of another version, or of another scenario or settings than `hash`
 */
export function decodeToken(token: string, hash: string): Choices {
  const match = /^ik(\d+)\.([0-9a-z]+)\.([0-9A-Za-z_-]+)$/.exec(token);
  if (!match)
    throw new TokenError(`'${token}' is not a schedule token; a token looks like ik${TOKEN_VERSION}.${hash}.0`);
  if (match[1] !== String(TOKEN_VERSION)) {
    throw new TokenError(
      `token version ik${match[1]} is not the ik${TOKEN_VERSION} of this release; run again to get a new one`,
    );
  }
  if (match[2] !== hash) {
    throw new TokenError(
      `the token is of another scenario, platform or --set (${match[2]}, this is ${hash}); use the ones it was printed with`,
    );
  }
  return match[3] === '0' ? [] : choicesOf(match[3]!);
}

function choicesOf(payload: string): Choices {
  const numbers: number[] = [];
  let value = 0;
  let weight = 1;
  for (const letter of payload) {
    const digit = DIGITS.indexOf(letter);
    value += (digit & 31) * weight;
    weight *= 32;
    if (digit >= 32) continue;
    if (!Number.isSafeInteger(value)) throw new TokenError('the token counts beyond 2^53; it is damaged');
    numbers.push(value);
    value = 0;
    weight = 1;
  }
  if (weight !== 1 || numbers.length % 2 !== 0) throw new TokenError('the token is cut short; paste all of it');
  const choices: [number, number][] = [];
  let asked = -1;
  for (let i = 0; i < numbers.length; i += 2) {
    asked += numbers[i]! + 1;
    choices.push([asked, numbers[i + 1]!]);
  }
  return choices;
}

function varint(value: number): string {
  let rest = value;
  let text = '';
  for (;;) {
    const low = rest % 32;
    rest = Math.floor(rest / 32);
    if (rest === 0) return text + DIGITS[low];
    text += DIGITS[low + 32];
  }
}

/** A short stable hash (FNV-1a, 32 bits, base 36) of a text: names a scenario with its settings in tokens, and traces. */
export function shortHash(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}
