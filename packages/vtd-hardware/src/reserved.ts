import type { AnyLayout, FieldInfo } from '@iommukit/bitfield';

/** A field, as a layout has it. */
type Bits = Pick<FieldInfo, 'hi' | 'lo'>;

/**
 * The bits of an entry that have to be 0: those that are declared reserved, addresses beyond the host address width (vtd.md 2), and
 * fields of what the unit does not have. Words of 32 bits.
 */
export function reservedMask(layout: AnyLayout, haw: number, absent: readonly Bits[] = []): Uint32Array {
  const mask = new Uint32Array(layout.words);
  const add = ({ hi, lo }: Bits): void => {
    for (let bit = lo; bit <= hi; bit++) mask[bit >>> 5] |= 1 << (bit & 31);
  };
  for (const field of layout.fields) {
    if (field.access === 'reserved-zero') add(field);
    const limit = field.lo - (field.lo % 64) + haw;
    if (field.shape === 'address' && field.hi >= limit) add({ hi: field.hi, lo: Math.max(field.lo, limit) });
  }
  for (const field of absent) add(field);
  return mask;
}

/** A bit that has to be 0 is not. */
export function violates(words: Uint32Array, mask: Uint32Array): boolean {
  for (let i = 0; i < mask.length; i++) if ((words[i] & mask[i]) !== 0) return true;
  return false;
}
