import type { Access, AnyLayout, FieldInfo, FieldSpecs, LayoutOptions } from '../../packages/bitfield/src/index.js';
import * as bitfield from '../../packages/bitfield/src/index.js';

/** One field of the n-th structure that a package declares, and where it is put instead. */
export interface Flip {
  /** The structure: how many are declared before it. */
  readonly layout: number;
  readonly structure: string;
  readonly key: string;
  readonly hi: number;
  readonly lo: number;
  /** By how many bits it is moved. */
  readonly by: 1 | -1;
}

/** What declares structures: the package, with what it declares counted and one field of it moved. */
export interface FlippedBitfield {
  /** What `import … from '@iommukit/bitfield'` gives. */
  readonly exports: typeof bitfield;
  /** The structures so far, in the order in which they were declared. */
  readonly layouts: AnyLayout[];
}

type Declare = (...args: never[]) => AnyLayout;

/** The package bitfield that moves one field, or none. */
export function flippedBitfield(flip: Flip | null): FlippedBitfield {
  const layouts: AnyLayout[] = [];
  const recording = <D extends Declare>(declare: D): D =>
    ((...args: never[]) => {
      const layout = declare(...args);
      if (flip?.layout === layouts.length) moveField(layout, flip, args.at(-2) as unknown as LayoutOptions);
      layouts.push(layout);
      return layout;
    }) as unknown as D;
  const { table, reg32, reg64 } = bitfield;
  const exports = { ...bitfield, table: recording(table), reg32: recording(reg32), reg64: recording(reg64) };
  return { exports, layouts };
}

/** What a structure is made of; a declaration that overlaps is refused, so a field is moved when the structure stands. */
interface Movable {
  fields: readonly FieldInfo[];
  named: ReadonlyMap<string, FieldInfo>;
  f: Record<string, FieldInfo>;
  masks: Readonly<Record<Access, Uint32Array>>;
}

function moveField(layout: AnyLayout, { key, by }: Flip, { gaps = 'reserved-zero' }: LayoutOptions): void {
  const movable = layout as unknown as Movable;
  const moved = movedField(layout, key, by);
  if (moved === null) throw new Error(`${layout.name}.${key} cannot be moved by ${by}`);
  movable.fields = movable.fields.map((field) => (field.key === key ? moved : field));
  movable.named = new Map([...movable.named].map(([name, field]) => [name, name === key ? moved : field]));
  movable.f = Object.fromEntries(movable.named);
  movable.masks = masksOf(layout.words, movable.fields, gaps);
}

/** The field at its new place, or null where the structure, or the word that holds an address, ends. */
function movedField(layout: AnyLayout, key: string, by: number): FieldInfo | null {
  const field = layout.fields.find((candidate) => candidate.key === key)!;
  const specs: FieldSpecs = { [key]: { ...field, hi: field.hi + by, lo: field.lo + by } };
  try {
    const alone = bitfield.table(layout.name, layout.bytes, { ref: layout.ref, gaps: 'reserved-zero' }, specs);
    return alone.fields.find((candidate) => candidate.key === key)!;
  } catch (error) {
    if (bitfield.isBitfieldError(error)) return null;
    throw error;
  }
}

/** Bits by access, as a structure keeps them; what no field has any more is a gap. */
function masksOf(words: number, fields: readonly FieldInfo[], gaps: Access): Record<Access, Uint32Array> {
  const fresh = (): Uint32Array => new Uint32Array(words);
  const masks: Record<Access, Uint32Array> = {
    rw: fresh(),
    ro: fresh(),
    w1c: fresh(),
    w1s: fresh(),
    'reserved-zero': fresh(),
    'reserved-preserve': fresh(),
  };
  for (let bit = 0; bit < words * 32; bit++) {
    const holders = fields.filter(({ hi, lo }) => lo <= bit && bit <= hi);
    const named = holders.filter(({ shape }) => shape !== 'reserved');
    const accesses = (named.length > 0 ? named : holders).map(({ access }) => access);
    for (const access of accesses.length > 0 ? accesses : [gaps]) masks[access][bit >>> 5]! |= 1 << (bit & 31);
  }
  return masks;
}

/** Every field of these structures moved by one: up, or down where there is no room above. Reserved bits stay. */
export function flipsOf(layouts: readonly AnyLayout[]): Flip[] {
  return layouts.flatMap((layout, n) =>
    layout.fields
      .filter(({ shape }) => shape !== 'reserved')
      .flatMap(({ key, hi, lo }) => {
        const by = ([1, -1] as const).find((step) => movedField(layout, key, step) !== null);
        return by === undefined ? [] : [{ layout: n, structure: layout.name, key, hi, lo, by }];
      }),
  );
}
