import { FRCD } from '@iommukit/vtd-spec';
import type { Observation } from '../case-format.js';
import { bitsOf, valueIn } from '../field-bits.js';

const F = bitsOf(FRCD.f.f);
const FR = bitsOf(FRCD.f.fr);

/** The fault reason of an observation's record; null without one. */
export function reasonSeen(seen: Observation | undefined): number | null {
  const value = seen?.['FRCD_HI'];
  return typeof value === 'bigint' && (value & F) !== 0n ? reasonOf(value) : null;
}

/** The fault reason of a record's upper word. */
export const reasonOf = (value: bigint): number => Number(valueIn(value, FRCD.f.fr));

/** The reasons of two upper words that differ in nothing else; null otherwise. */
export function reasonsAlone(ours: bigint | boolean, theirs: bigint | boolean): readonly [number, number] | null {
  if (typeof ours !== 'bigint' || typeof theirs !== 'bigint') return null;
  if (((ours ^ theirs) & ~FR) !== 0n || (ours & F) === 0n) return null;
  return [reasonOf(ours), reasonOf(theirs)];
}
