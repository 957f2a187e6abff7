/**
 * A devicetree in the making, for tests: written by hand from the Devicetree Specification, not by the code under
 * test.
 */
export interface TestNode {
  readonly name: string;
  readonly properties: readonly (readonly [string, TestValue])[];
  readonly children: readonly TestNode[];
}

/** true: empty; numbers: cells; text: NUL-terminated; list of texts; raw bytes. */
export type TestValue = true | number | readonly number[] | string | readonly string[] | Uint8Array;

export interface TestBlobOptions {
  readonly version?: 16 | 17;
  readonly reservations?: readonly (readonly [bigint, bigint])[];
  readonly bootCpu?: number;
  /** A FDT_NOP before every token. */
  readonly nops?: boolean;
}

export function node(
  name: string,
  properties: Readonly<Record<string, TestValue>> = {},
  ...children: TestNode[]
): TestNode {
  return { name, properties: Object.entries(properties), children };
}

/** Header 40 (or 36) bytes, reservations, structure, strings: the order that dtc writes. */
export function blob(root: TestNode, options: TestBlobOptions = {}): Uint8Array {
  const version = options.version ?? 17;
  const strings: number[] = [];
  const offsets = new Map<string, number>();
  const struct: number[] = [];
  const token = (value: number) => {
    if (options.nops) word(struct, 4);
    word(struct, value);
  };
  const write = (at: TestNode) => {
    token(1);
    bytes(struct, text(at.name));
    for (const [name, value] of at.properties) {
      if (!offsets.has(name)) {
        offsets.set(name, strings.length);
        strings.push(...text(name));
      }
      const raw = encode(value);
      token(3);
      word(struct, raw.length);
      word(struct, offsets.get(name) ?? 0);
      bytes(struct, raw);
    }
    for (const child of at.children) write(child);
    token(2);
  };
  write(root);
  token(9);

  const reservations: number[] = [];
  for (const [base, size] of [...(options.reservations ?? []), [0n, 0n]] as const) {
    for (const value of [base, size]) word(reservations, Number(value >> 32n), Number(value & 0xffffffffn));
  }
  const structAt = 40 + reservations.length;
  const stringsAt = structAt + struct.length;
  const header: number[] = [];
  word(header, 0xd00dfeed, stringsAt + strings.length, structAt, stringsAt, 40, version, 16, options.bootCpu ?? 0);
  word(header, strings.length, version === 17 ? struct.length : 0);
  return Uint8Array.from([...header, ...reservations, ...struct, ...strings]);
}

/** A copy of `source` with one big-endian word replaced. */
export function patched(source: Uint8Array, offset: number, value: number): Uint8Array {
  const copy = source.slice();
  new DataView(copy.buffer).setUint32(offset, value);
  return copy;
}

function encode(value: TestValue): number[] {
  if (value === true) return [];
  if (typeof value === 'string') return text(value);
  if (value instanceof Uint8Array) return [...value];
  const list = typeof value === 'number' ? [value] : value;
  const out: number[] = [];
  for (const item of list) {
    if (typeof item === 'string') out.push(...text(item));
    else word(out, item);
  }
  return out;
}

function text(value: string): number[] {
  return [...Array.from(value, (character) => character.charCodeAt(0)), 0];
}

function word(out: number[], ...values: number[]): void {
  for (const value of values) out.push(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

function bytes(out: number[], raw: readonly number[]): void {
  for (const byte of raw) out.push(byte);
  while (out.length % 4 !== 0) out.push(0);
}
