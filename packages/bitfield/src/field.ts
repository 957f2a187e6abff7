import type { Access, EnumNames, FieldSpec } from './spec.js';

/** One field of a structure, with the numbers a hot path needs. */
export interface FieldInfo {
  readonly key: string;
  readonly specName: string;
  /** Highest bit, inclusive, counted over the whole structure. */
  readonly hi: number;
  /** Lowest bit, counted over the whole structure. */
  readonly lo: number;
  readonly width: number;
  readonly shape: FieldSpec['shape'];
  readonly access: Access;
  readonly doc: string;
  readonly enum: EnumNames | null;
  /** What `make` fills in when the field is not named. */
  readonly preset: number;
  /** Index of the 32-bit word that holds the lowest bit. */
  readonly word: number;
  /** Position of the lowest bit in that word. */
  readonly shift: number;
  /** The field's bits in the low half of the 64-bit word that holds its lowest bit, unsigned. */
  readonly maskLo: number;
  /** The field's bits in the high half of that 64-bit word, unsigned. */
  readonly maskHi: number;
}

/** A field whose value is a number. `at` is the index of the structure's first 32-bit word. */
export interface Field extends FieldInfo {
  /** The largest value; for an address the largest address. */
  readonly max: number;
  get(words: Uint32Array, at?: number): number;
  /** Throws {@link BitfieldError} when the value is not a whole number that fits. */
  set(words: Uint32Array, value: number, at?: number): void;
  /** The field in the two halves of the 64-bit word that holds it; of a 32-bit register `of(value)`. */
  of(lo: number, hi?: number): number;
  /** The name of a value, if the field has an enum that knows it. */
  nameOf(value: number): string | null;
}

/** A field of up to 64 bits, read and written as two unsigned halves. `at` is the index of the structure's first 32-bit word. */
export interface WideField extends FieldInfo {
  getLo(words: Uint32Array, at?: number): number;
  getHi(words: Uint32Array, at?: number): number;
  /** Throws {@link BitfieldError} when the value does not fit. */
  setLoHi(words: Uint32Array, lo: number, hi: number, at?: number): void;
}
