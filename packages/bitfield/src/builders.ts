import { BitfieldError } from './error.js';
import type { Access, EnumNames, FieldSpec, NumberSpec, ReservedSpec, WideSpec } from './spec.js';

const spec = { access: 'rw', enum: null, specName: null, preset: 0 } as const;

/** One bit, read and written as 0 or 1. */
export const bit = (pos: number, doc = ''): NumberSpec => ({ ...spec, shape: 'bits', hi: pos, lo: pos, doc });

/** Bits [hi:lo] as an unsigned number, at most 53 of them; with an enum the values have names. */
export function bits(hi: number, lo: number, doc?: string): NumberSpec;
export function bits(hi: number, lo: number, names: EnumNames, doc?: string): NumberSpec;
export function bits(hi: number, lo: number, names: EnumNames | string = '', doc = ''): NumberSpec {
  return typeof names === 'string'
    ? { ...spec, shape: 'bits', hi, lo, doc: names }
    : { ...spec, shape: 'bits', hi, lo, doc, enum: names };
}

/**
 * An address whose bit n stands at bit n of the 64-bit word that holds it: read and written as a whole byte address, the bits
 * outside [hi:lo] being zero. At most 53 significant bits, within one 64-bit word.
 */
export const address = (hi: number, lo: number, doc = ''): NumberSpec => ({ ...spec, shape: 'address', hi, lo, doc });

/** Bits [hi:lo], up to 64 of them, read and written as a pair of 32-bit halves. */
export const wide = (hi: number, lo: number, doc = ''): WideSpec => ({ ...spec, shape: 'wide', hi, lo, doc });

/** Bits that read zero and ignore writes (RES0). */
export const reserved = (hi: number, lo: number = hi, doc = 'reserved'): ReservedSpec => ({
  ...spec,
  shape: 'reserved',
  access: 'reserved-zero',
  hi,
  lo,
  doc,
});

/** Bits without a known meaning that a write leaves as they are. */
export const preserved = (hi: number, lo: number = hi, doc = 'reserved, preserved'): ReservedSpec => ({
  ...reserved(hi, lo, doc),
  access: 'reserved-preserve',
});

/** A builder for one access rule: of a single bit with `(pos, doc)`, or of any field with `(field)`. */
export interface AccessModifier {
  (pos: number, doc?: string): NumberSpec;
  <S extends NumberSpec | WideSpec>(field: S): S;
}

const modifier = (access: Access): AccessModifier =>
  ((field: number | FieldSpec, doc?: string): FieldSpec => ({
    ...(typeof field === 'number' ? bit(field, doc) : field),
    access,
  })) as AccessModifier;

/** Read-only: writes leave it as it is. */
export const ro: AccessModifier = modifier('ro');

/** Write one to clear. */
export const w1c: AccessModifier = modifier('w1c');

/** Write one to set. */
export const w1s: AccessModifier = modifier('w1s');

/** Gives a field the name it has in the specification, where that is not its key in upper case (`stallModel` as `STALL_MODEL`). */
export const named = <S extends FieldSpec>(specName: string, field: S): S => ({ ...field, specName });

/** A value that `make` fills in when the caller does not name the field: the opcode of a command. */
export const preset = <S extends NumberSpec>(value: number, field: S): S => ({ ...field, preset: value });

/** Moves fields that are numbered within 64-bit word `n`, as in `dw1[55:4]`, to where they lie in the structure. */
export function dw<const S extends Readonly<Record<string, FieldSpec>>>(n: number, fields: S): S {
  const move = (field: FieldSpec): FieldSpec => {
    if (field.hi > 63)
      throw new BitfieldError('declaration', `[${field.hi}:${field.lo}] is not within one 64-bit word`);
    return { ...field, hi: field.hi + 64 * n, lo: field.lo + 64 * n };
  };
  return Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, move(field)])) as unknown as S;
}

/** Names for the values of a field; throws when two names share a value. */
export function enumOf<const E extends EnumNames>(names: E): E {
  const seen = new Map<number, string>();
  for (const [name, value] of Object.entries(names)) {
    const other = seen.get(value);
    if (other !== undefined) {
      throw new BitfieldError('declaration', `enum values ${other} and ${name} are both ${value}`);
    }
    seen.set(value, name);
  }
  return Object.freeze(names);
}
