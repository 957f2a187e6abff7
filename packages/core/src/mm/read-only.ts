import { PERM } from '../faults.js';

/** The rights of an entry that must fault when it is written; a right to write includes the right to read. */
export function readOnly(perm: number): number {
  return (perm & PERM.WRITE) === 0 ? perm : (perm & ~PERM.WRITE) | PERM.READ;
}
