import type { FieldInfo } from '@iommukit/bitfield';

/** The bits of a declared field, in the 64-bit word that holds it. */
export const bitsOf = ({ maskLo, maskHi }: FieldInfo): bigint => (BigInt(maskHi) << 32n) | BigInt(maskLo);

/** The lowest bit of a declared field, in the 64-bit word that holds it. */
export const lowBitOf = (field: FieldInfo): bigint => 1n << BigInt(field.lo % 64);

/** A declared field's value in the 64-bit word that holds it. */
export const valueIn = (word: bigint, field: FieldInfo): bigint => (word & bitsOf(field)) >> BigInt(field.lo % 64);
