import type { Field, FieldInfo, WideField } from './field.js';
import type { FieldSpecs, ReservedSpec, Wide, WideSpec } from './spec.js';

/** The keys of a structure that can be read and written, reserved ones left out. */
export type FieldKey<S extends FieldSpecs> = {
  [K in keyof S]: S[K] extends ReservedSpec ? never : K;
}[keyof S] &
  string;

/** The accessors of a structure by key. */
export type Fields<S extends FieldSpecs> = {
  readonly [K in FieldKey<S>]: S[K] extends WideSpec ? WideField : Field;
};

/** The values of a structure, as `decode` returns them. */
export type Values<S extends FieldSpecs> = {
  [K in FieldKey<S>]: S[K] extends WideSpec ? Wide : number;
};

/** Some values of a structure, as `make` and `set` take them; a wide field also takes a number up to 2^53. */
export type Partials<S extends FieldSpecs> = {
  readonly [K in FieldKey<S>]?: S[K] extends WideSpec ? Wide | number : number;
};

/** One field that two structures hold differently. */
export interface Difference {
  readonly field: string;
  readonly specName: string;
  readonly from: number | Wide;
  readonly to: number | Wide;
}

/** How {@link Layout.format} prints. */
export interface FormatOptions {
  /** Also fields that are zero; default true. */
  readonly zeros?: boolean;
  /** Also what each field means; default false. */
  readonly docs?: boolean;
}

/** A structure whose fields the caller does not know by name: what dumps, decoders and register files work with. */
export interface AnyLayout {
  readonly name: string;
  /** Where the specification describes it. */
  readonly ref: string;
  readonly bytes: number;
  /** Its size in 32-bit words. */
  readonly words: number;
  /** Every field in bit order, reserved ones included. */
  readonly fields: readonly FieldInfo[];
  /** New words: the named fields set, presets filled in, everything else zero. Throws BitfieldError for an unknown key. */
  make(values?: Readonly<Record<string, Wide | number | undefined>>): Uint32Array<ArrayBuffer>;
  /** Sets the named fields only. Throws BitfieldError for an unknown key or a value that does not fit, and then changes nothing. */
  set(words: Uint32Array, values: Readonly<Record<string, Wide | number | undefined>>, at?: number): void;
  /** All fields as numbers (wide ones as halves); names of values are in `f.x.nameOf`. */
  decode(words: Uint32Array, at?: number): Record<string, Wide | number>;
  /** The fields, reserved ones included, in which `b` differs from `a`. */
  diff(a: Uint32Array, b: Uint32Array): Difference[];
  /** For people: a title line and one line a field, with names of values. */
  format(words: Uint32Array, options?: FormatOptions): string;
  /** Whether a reserved-zero bit is set. */
  hasReserved(words: Uint32Array, at?: number): boolean;
  /** Word `index` after software writes `value` over `current`, by the access rules of its fields. */
  writeWord(index: number, current: number, value: number): number;
  /** The structure after software writes `value` over `current`: new words. */
  write(current: Uint32Array, value: Uint32Array): Uint32Array<ArrayBuffer>;
}

/** A declared structure. Words are unsigned 32-bit, lowest first; `at` is the index of the structure's first word. */
export interface Layout<S extends FieldSpecs> extends AnyLayout {
  /** Accessors by key: `D.f.asid.get(words)`. Hot code keeps `const { asid } = D.f` of its own module. */
  readonly f: Fields<S>;
  make(values?: Partials<S>): Uint32Array<ArrayBuffer>;
  set(words: Uint32Array, values: Partials<S>, at?: number): void;
  decode(words: Uint32Array, at?: number): Values<S>;
}

/** A register whose fields the caller does not know by name. */
export interface AnyRegister extends AnyLayout {
  readonly kind: 'reg32' | 'reg64';
  /** Bytes from the start of the register file. */
  readonly offset: number;
  /** The words after reset: a fresh copy each time. */
  reset(): Uint32Array<ArrayBuffer>;
}

/** A declared table entry, descriptor, command or record. */
export interface Table<S extends FieldSpecs> extends Layout<S> {
  readonly kind: 'table';
}

/** A declared 32-bit register; `pack` and `unpack` work on its value as an unsigned number. */
export interface Reg32<S extends FieldSpecs> extends Layout<S>, AnyRegister {
  readonly kind: 'reg32';
  make(values?: Partials<S>): Uint32Array<ArrayBuffer>;
  set(words: Uint32Array, values: Partials<S>, at?: number): void;
  decode(words: Uint32Array, at?: number): Values<S>;
  pack(values: Partials<S>): number;
  unpack(value: number): Values<S>;
}

/** A declared 64-bit register. */
export interface Reg64<S extends FieldSpecs> extends Layout<S>, AnyRegister {
  readonly kind: 'reg64';
  make(values?: Partials<S>): Uint32Array<ArrayBuffer>;
  set(words: Uint32Array, values: Partials<S>, at?: number): void;
  decode(words: Uint32Array, at?: number): Values<S>;
}
