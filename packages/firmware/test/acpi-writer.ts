/** A field of a table: a value of 1, 2, 4 or 8 bytes, or text. */
export type Field = readonly [bytes: 1 | 2 | 4 | 8, value: number] | string | Uint8Array;

/** Fields one after the other, little-endian. */
export function packed(...fields: readonly Field[]): Uint8Array {
  const bytes: number[] = [];
  for (const field of fields) {
    if (typeof field === 'string') bytes.push(...[...field].map((letter) => letter.charCodeAt(0)));
    else if (field instanceof Uint8Array) bytes.push(...field);
    else for (let i = 0; i < field[0]; i++) bytes.push(Math.floor(field[1] / 2 ** (8 * i)) % 256);
  }
  return Uint8Array.from(bytes);
}

/** Makes the bytes of a table add up to 0. */
export function sealed(table: Uint8Array): Uint8Array {
  const length = Math.min(table.length, new DataView(table.buffer, table.byteOffset).getUint32(4, true));
  table[9] = 0;
  let sum = 0;
  for (let i = 0; i < length; i++) sum += table[i];
  table[9] = -sum & 0xff;
  return table;
}

/** A table with its header. */
export function acpiTable(signature: string, body: Uint8Array, revision = 1): Uint8Array {
  const head = [signature, [4, 36 + body.length], [1, revision], [1, 0], 'MAKER ', 'BOARD   ', [4, 1], 'TEST', [4, 1]];
  return sealed(packed(...(head as Field[]), body));
}

/** An id mapping: input base, number of ids, output base, output node, flags. */
export type Ids = readonly [input: number, count: number, output: number, to: number, flags?: number];

/** A node: its type, what follows the 16 bytes of its head, and its mappings, which come last. */
export interface IortNodeBytes {
  readonly type: number;
  readonly revision?: number;
  readonly data: Uint8Array;
  readonly ids?: readonly Ids[];
}

/** An IORT of these nodes, the first one at 0x30. */
export function iort(...nodes: readonly IortNodeBytes[]): Uint8Array {
  const bytes = nodes.map(({ type, revision = 0, data, ids = [] }, n) =>
    packed(
      [1, type],
      [2, 16 + data.length + 20 * ids.length],
      [1, revision],
      [4, n],
      [4, ids.length],
      [4, ids.length === 0 ? 0 : 16 + data.length],
      data,
      ...ids.map(([input, count, output, to, flags = 0]) =>
        packed([4, input], [4, count - 1], [4, output], [4, to], [4, flags]),
      ),
    ),
  );
  return acpiTable('IORT', packed([4, nodes.length], [4, 48], [4, 0], ...bytes), 6);
}

/** An SMMUv3 node of 68 bytes: where it is, flags, model, and GSIVs in the order event, PRI, GERROR, sync. */
export function smmuV3(base: number, flags = 1, model = 0, gsivs: readonly number[] = [74, 75, 77, 76]): IortNodeBytes {
  const [event, pri, gerror, sync] = gsivs;
  return {
    type: 4,
    revision: 1,
    data: packed(
      [8, base],
      [4, flags],
      [4, 0],
      [8, 0],
      [4, model],
      [4, event],
      [4, pri],
      [4, gerror],
      [4, sync],
      [4, 3],
      [4, 0],
    ),
  };
}

/** A root complex node of 36 bytes. */
export function rootComplex(segment: number, ids: readonly Ids[], ats = 0, pasidBits = 0): IortNodeBytes {
  const data = packed([4, 1], [4, 0], [4, ats], [4, segment], [1, 64], [2, pasidBits], [1, 0]);
  return { type: 2, revision: 3, data, ids };
}

/** A named component: its path, flags (STALL 0, PASID bits [5:1]), and mappings. */
export function namedComponent(name: string, flags: number, ids: readonly Ids[]): IortNodeBytes {
  return { type: 1, revision: 2, data: packed([4, flags], [4, 1], [4, 0], [1, 48], name, [1, 0]), ids };
}
