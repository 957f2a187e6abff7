import { accessorOf, type FieldBase, PairField } from './access.js';
import { checkedFields, type Gaps } from './check.js';
import { BitfieldError } from './error.js';
import type { Field, WideField } from './field.js';
import { formatLayout } from './format.js';
import type { Difference, Fields, FormatOptions, Layout, Partials, Values } from './layout.js';
import type { Access, FieldSpecs, Wide } from './spec.js';

/** What a declaration says about a structure besides its fields. */
export interface LayoutOptions {
  /** Where the specification describes it, as `smmuv3.md 2.4`. */
  readonly ref: string;
  /** What bits that no field names are taken for; without it they are an error. */
  readonly gaps?: Gaps;
}

/** A number as the two halves of a 64-bit value; throws when it is not a whole number up to 2^53. */
function halves(name: string, value: number | Wide): Wide {
  if (typeof value !== 'number') return value;
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new BitfieldError('range', `${name}: ${value} is not exact as a number; give { lo, hi }`);
  }
  return { lo: value >>> 0, hi: Math.floor(value / 2 ** 32) };
}

const valueOf = (field: FieldBase, words: Uint32Array, at: number): number | Wide => {
  if (field instanceof PairField) return { lo: field.getLo(words, at), hi: field.getHi(words, at) };
  return (field as FieldBase & Field).get(words, at);
};

/** The one implementation of {@link Layout}. */
export class Structure<S extends FieldSpecs> implements Layout<S> {
  declare readonly name: string;
  declare readonly ref: string;
  declare readonly bytes: number;
  declare readonly words: number;
  declare readonly f: Fields<S>;
  declare readonly fields: readonly FieldBase[];
  declare readonly named: ReadonlyMap<string, FieldBase>;
  declare readonly masks: Readonly<Record<Access, Uint32Array>>;
  /** What {@link make} begins with. */
  declare readonly presets: Uint32Array<ArrayBuffer>;

  constructor(name: string, bytes: number, options: LayoutOptions, specs: S) {
    if (!Number.isInteger(bytes / 4) || bytes < 4) {
      throw new BitfieldError('declaration', `${name}: ${bytes} bytes are not a whole number of 32-bit words`);
    }
    this.name = name;
    this.ref = options.ref;
    this.bytes = bytes;
    this.words = bytes / 4;
    this.fields = checkedFields(name, bytes * 8, specs, options.gaps).map(([key, spec]) => accessorOf(name, key, spec));
    const named = this.fields.filter((field) => field.shape !== 'reserved');
    this.named = new Map(named.map((field) => [field.key, field]));
    // Object.fromEntries gives the fast property layout; a store by computed key would not beyond a dozen fields.
    this.f = Object.fromEntries(this.named) as unknown as Fields<S>;
    this.masks = accessMasks(this.words, this.fields);
    this.presets = new Uint32Array(this.words);
    for (const field of named) if (field.preset !== 0) (field as FieldBase & Field).set(this.presets, field.preset);
  }

  make(values: Partials<S> = {}): Uint32Array<ArrayBuffer> {
    const words = this.presets.slice();
    this.fill(words, values);
    return words;
  }

  set(words: Uint32Array, values: Partials<S>, at = 0): void {
    // All of them or none: a value that is refused leaves the words alone.
    const next = words.slice(at, at + this.words);
    this.fill(next, values);
    words.set(next, at);
  }

  /** Sets fields one after the other. */
  fill(words: Uint32Array, values: Partials<S>): void {
    for (const [key, value] of Object.entries<number | Wide | undefined>(values)) {
      const field = this.named.get(key);
      if (field === undefined) {
        const known = [...this.named.keys()].join(', ');
        throw new BitfieldError('range', `${this.name} has no field ${key}; it has ${known}`);
      }
      if (value === undefined) continue;
      if (field.shape === 'wide') {
        const { lo, hi } = halves(`${this.name}.${field.specName}`, value);
        (field as FieldBase & WideField).setLoHi(words, lo, hi);
      } else {
        (field as FieldBase & Field).set(words, value as number);
      }
    }
  }

  decode(words: Uint32Array, at = 0): Values<S> {
    const values: Record<string, number | Wide> = {};
    for (const [key, field] of this.named) values[key] = valueOf(field, words, at);
    return values as Values<S>;
  }

  diff(a: Uint32Array, b: Uint32Array): Difference[] {
    const found: Difference[] = [];
    for (const field of this.fields) {
      const [from, to] = [this.value(field, a), this.value(field, b)];
      const [x, y] = [halvesOf(from), halvesOf(to)];
      if (x.lo !== y.lo || x.hi !== y.hi) found.push({ field: field.key, specName: field.specName, from, to });
    }
    return found;
  }

  format(words: Uint32Array, options: FormatOptions = {}): string {
    return formatLayout(this, words, options, (field) => this.value(field as FieldBase, words));
  }

  hasReserved(words: Uint32Array, at = 0): boolean {
    const mask = this.masks['reserved-zero'];
    for (let i = 0; i < this.words; i++) if ((words[at + i] & mask[i]) !== 0) return true;
    return false;
  }

  writeWord(index: number, current: number, value: number): number {
    const { rw, ro, w1c, w1s } = this.masks;
    const keep = ro[index] | this.masks['reserved-preserve'][index];
    const set = w1s[index];
    const clear = w1c[index];
    return ((current & (keep | set | clear) & ~(value & clear)) | (value & (rw[index] | set))) >>> 0;
  }

  write(current: Uint32Array, value: Uint32Array): Uint32Array<ArrayBuffer> {
    return new Uint32Array(this.words).map((_, i) => this.writeWord(i, current[i], value[i]));
  }

  /** A field's value, reserved ones as halves too. */
  value(field: FieldBase, words: Uint32Array): number | Wide {
    return field.shape === 'reserved' ? reservedValue(field, words) : valueOf(field, words, 0);
  }
}

const halvesOf = (value: number | Wide): Wide =>
  typeof value === 'number' ? { lo: value % 2 ** 32, hi: Math.floor(value / 2 ** 32) } : value;

/** Reserved runs may be longer than 64 bits: their value is the lowest 64-bit piece that is not zero. */
function reservedValue(field: FieldBase, words: Uint32Array): number | Wide {
  for (let lo = field.lo; lo <= field.hi; lo += 64) {
    const piece = new PairField(field.structure, field.key, { ...field, lo, hi: Math.min(field.hi, lo + 63) });
    const value = { lo: piece.getLo(words), hi: piece.getHi(words) };
    if (value.lo !== 0 || value.hi !== 0) return value;
  }
  return 0;
}

function accessMasks(count: number, fields: readonly FieldBase[]): Readonly<Record<Access, Uint32Array>> {
  const fresh = (): Uint32Array => new Uint32Array(count);
  const masks: Record<Access, Uint32Array> = {
    rw: fresh(),
    ro: fresh(),
    w1c: fresh(),
    w1s: fresh(),
    'reserved-zero': fresh(),
    'reserved-preserve': fresh(),
  };
  for (const field of fields) {
    for (let pos = field.lo; pos <= field.hi; pos++) masks[field.access][pos >>> 5] |= 1 << (pos & 31);
  }
  return masks;
}
