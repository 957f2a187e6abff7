/**
 * What a write does to a field: `rw` stores it, `ro` leaves the field alone, `w1c` clears the bits written as 1, `w1s` sets
 * them, `reserved-zero` always reads 0, `reserved-preserve` keeps what it holds.
 */
export type Access = 'rw' | 'ro' | 'w1c' | 'w1s' | 'reserved-zero' | 'reserved-preserve';

/** Names of a field's values, as {@link enumOf} returns them. */
export type EnumNames = Readonly<Record<string, number>>;

/** A value of up to 64 bits as two unsigned 32-bit halves. */
export interface Wide {
  readonly lo: number;
  readonly hi: number;
}

/** What the builders return: one field as it is declared. `hi` and `lo` are inclusive and count over the whole structure. */
export interface FieldSpec {
  readonly shape: 'bits' | 'address' | 'wide' | 'reserved';
  readonly hi: number;
  readonly lo: number;
  readonly doc: string;
  readonly access: Access;
  readonly enum: EnumNames | null;
  /** The name in the specification; null: the key in upper case, `stallModel` as `STALL_MODEL`. */
  readonly specName: string | null;
  /** What `make` fills in when the field is not named. */
  readonly preset: number;
}

/** A field whose value is a number: at most 53 significant bits. */
export interface NumberSpec extends FieldSpec {
  readonly shape: 'bits' | 'address';
}

/** A field of up to 64 bits that is read and written as a pair of halves. */
export interface WideSpec extends FieldSpec {
  readonly shape: 'wide';
}

/** Bits without a meaning; they appear in `fields` but cannot be read or written by name. */
export interface ReservedSpec extends FieldSpec {
  readonly shape: 'reserved';
}

/** The fields of one structure by key. */
export type FieldSpecs = Readonly<Record<string, FieldSpec>>;
