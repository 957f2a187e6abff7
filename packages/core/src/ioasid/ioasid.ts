import type { Coroutine } from '@iommukit/kernel';

/** The allocator's "no number": all ones, outside the 20 bits that hardware accepts (IOASID-1). */
export const INVALID_IOASID = 0xffff_ffff;

/** A label on numbers, compared on lookup; it partitions nothing (IOASID-7). Identity is the object. */
export interface IoasidSet {
  readonly name: string;
  /** What the set is for, an mm for example: listeners may register for it before the set exists (IOASID-17). */
  readonly token?: unknown;
}

/** ACTIVE: in use. INACTIVE (FREE_PENDING): freed, but not in the pool until the last reference is put (IOASID-13). */
export type IoasidState = 'ACTIVE' | 'INACTIVE';

/** One allocated number. */
export interface Ioasid {
  id: number;
  readonly set: IoasidSet;
  /** What the number stands for; for PASIDs the mm. */
  owner: unknown;
  /** References; whoever allocated it holds the first (IOASID-6). */
  refs: number;
  state: IoasidState;
  /** Users that said so with `bind` (IOASID-17). */
  bonds: number;
}

/** Takes a hold on what was found, inside the read section; false declines (IOASID-8). It must not sleep. */
export type IoasidGetter = (owner: unknown) => Coroutine<boolean>;
