import { InspectError } from './inspect-error.js';
import { RegisterWords } from './register-words.js';

/** A register file: its name, for messages, and what is in it. */
export interface RegisterText {
  readonly name: string;
  readonly text: string;
}

/** No machine's IOMMU registers have more 32-bit words. */
const MOST_WORDS = 2 ** 20;
const ADDRESS_LIMIT = 2 ** 52;
const WORD_BYTES = 4;
const WORD_DIGITS = 8;

const TEXT = 'lines are `address: word word …` with words of 32 bits, as the monitor prints them for xp /140xw ADDRESS';
const JSON_SHAPES =
  'give {"0xADDRESS": ["0xWORD", …], …} or [{"address": "0xADDRESS", "words": […]}, …], each word of 32 bits';

/**
 * Registers of one machine from any number of files, which are text or JSON:
 *
 * - text: a line `address: word word …`, the address hexadecimal (with or without `0x`), words of 32 bits with `0x`; `#` begins a comment;
 * - JSON: an object from addresses (`"0x…"`) to a word or a list of consecutive ones, as numbers or `"0x…"`; or a list of
 *   `{address, words}`.
 * @throws InspectError EBADREGISTER, EOVERLAP, ELIMIT, each with file and line
 */
export function parseRegisters(files: readonly RegisterText[]): RegisterWords {
  const collected = new Collected();
  for (const file of files) {
    if (/^\s*[{[]/.test(file.text)) readJson(file, collected);
    else readText(file, collected);
  }
  return new RegisterWords(
    collected.words,
    files.map(({ name }) => name),
  );
}

/** `FILE:LINE`, found out when it is told: most places never are. */
type Place = () => string;

class Collected {
  readonly words = new Map<number, number>();
  /** Where each word was given, to be told when it is given again. */
  readonly places = new Map<number, Place>();

  add(first: number, values: readonly number[], place: Place): void {
    if (this.words.size + values.length > MOST_WORDS) {
      throw new InspectError('ELIMIT', place(), `more than ${MOST_WORDS} words`, 'give the IOMMU registers alone');
    }
    values.forEach((value, i) => {
      const address = first + i * WORD_BYTES;
      const before = this.places.get(address);
      if (before !== undefined) throw overlap(address, place, before);
      this.words.set(address, value);
      this.places.set(address, place);
    });
  }
}

function overlap(address: number, place: Place, before: Place): InspectError {
  const problem = `the word at 0x${address.toString(16)} is given by ${before()} too`;
  return new InspectError('EOVERLAP', place(), problem, 'give each address once; words have 32 bits (xp /…xw)');
}

// ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function readText({ name, text }: RegisterText, into: Collected): void {
  let number = 0;
  for (const whole of linesOf(text)) {
    const at = ++number;
    const line = whole.replace(/#.*/, '').trim();
    if (line !== '') readLine(line, () => `${name}:${at}`, into);
  }
}

/** Lines one by one: a file of millions is never a list. */
function* linesOf(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at);
    const stop = end < 0 ? text.length : end;
    yield text.slice(at, stop);
    at = stop + 1;
  }
}

function readLine(line: string, place: Place, into: Collected): void {
  const colon = line.indexOf(':');
  const words =
    colon < 0
      ? []
      : line
          .slice(colon + 1)
          .trim()
          .split(/\s+/);
  if (colon < 0 || words[0] === '') throw bad(place, `'${shown(line)}' has no address and words`, TEXT);
  const digits = /^(?:0[xX])?([0-9a-fA-F]+)$/.exec(line.slice(0, colon).trim());
  if (digits === null) throw bad(place, `'${shown(line.slice(0, colon))}' is no hexadecimal address`, TEXT);
  const address = Number.parseInt(digits[1]!, 16);
  checkAddress(address, words.length, place);
  into.add(
    address,
    words.map((word) => wordOf(word, place)),
    place,
  );
}

/** A word as text. */
function wordOf(text: string, place: Place): number {
  const digits = /^0[xX]([0-9a-fA-F]+)$/.exec(text);
  if (digits === null) throw bad(place, `'${shown(text)}' is no word`, TEXT);
  if (digits[1]!.length > WORD_DIGITS) throw bad(place, `'${shown(text)}' has more than 32 bits`, TEXT);
  return Number.parseInt(digits[1]!, 16);
}

function checkAddress(address: number, words: number, place: Place): void {
  if (address % WORD_BYTES !== 0) throw bad(place, `0x${address.toString(16)} is no multiple of 4`, TEXT);
  if (address + words * WORD_BYTES > ADDRESS_LIMIT) throw bad(place, 'the address has more than 52 bits', TEXT);
}

// ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function readJson({ name, text }: RegisterText, into: Collected): void {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw bad(() => placeOf(name, text, error), 'it is no JSON', JSON_SHAPES);
  }
  if (Array.isArray(value)) return readList(name, value, into);
  if (typeof value !== 'object' || value === null) throw bad(() => `${name}:1`, 'it is no object', JSON_SHAPES);
  for (const [key, words] of Object.entries(value)) {
    addJson(key, words, () => `${name}:${lineOf(text, JSON.stringify(key))}`, into);
  }
}

/** Without a parser that keeps places, the item has to be named by its number. */
function readList(name: string, items: readonly unknown[], into: Collected): void {
  items.forEach((item, i) => {
    const place = (): string => `${name}: item ${i + 1}`;
    if (typeof item !== 'object' || item === null) throw bad(place, 'it is no object', JSON_SHAPES);
    const { address, words } = item as { readonly address?: unknown; readonly words?: unknown };
    addJson(typeof address === 'number' ? `0x${address.toString(16)}` : String(address), words, place, into);
  });
}

function addJson(key: string, words: unknown, place: Place, into: Collected): void {
  const digits = /^(?:0[xX])?([0-9a-fA-F]+)$/.exec(key);
  if (digits === null) throw bad(place, `'${shown(key)}' is no address`, JSON_SHAPES);
  const list = Array.isArray(words) ? words : [words];
  const address = Number.parseInt(digits[1]!, 16);
  checkAddress(address, list.length, place);
  into.add(
    address,
    list.map((word) => jsonWord(word, place)),
    place,
  );
}

function jsonWord(value: unknown, place: Place): number {
  if (typeof value === 'string') return wordOf(value, place);
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32) return value as number;
  throw bad(place, `${shown(JSON.stringify(value) ?? 'nothing')} is no word of 32 bits`, JSON_SHAPES);
}

/** `FILE:LINE` of what the parser complained about, if it says so. */
function placeOf(name: string, text: string, error: unknown): string {
  const position = /position (\d+)/.exec(error instanceof Error ? error.message : '');
  const line = position === null ? 1 : text.slice(0, Number(position[1])).split('\n').length;
  return `${name}:${line}`;
}

/** The line on which `what` stands first. */
function lineOf(text: string, what: string): number {
  const at = text.indexOf(what);
  let line = 1;
  for (let end = text.indexOf('\n'); end >= 0 && end < at; end = text.indexOf('\n', end + 1)) line++;
  return line;
}

// ── both ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const bad = (place: Place, problem: string, remedy: string): InspectError =>
  new InspectError('EBADREGISTER', place(), problem, remedy);

/** Text of a file, safe to print. */
const shown = (text: string): string => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be printed.
  const safe = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
  return safe.length > 40 ? `${safe.slice(0, 40)}…` : safe;
};
