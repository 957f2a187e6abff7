import type { Ioasid } from './ioasid.js';

/**
 * Where numbers really come from: a hypervisor, for example (IOASID-16). Called under the allocator's lock, in one step.
 * Two with the same two functions are ways to one number space; they differ in `data`.
 */
export interface IoasidOps {
  /** A number in [min, max], or `INVALID_IOASID`. */
  alloc(min: number, max: number, data: unknown): number;
  free(id: number, data: unknown): void;
  /** Handed to both functions; the registrant frees it once the ops are unregistered. */
  readonly data: unknown;
}

/** A place in a ring: a group's head, or one of its members. */
export interface Link {
  next: Link;
  prev: Link;
}

/** Custom allocators that share their functions, hence one number space. Head of the ring of its members. */
export interface AllocatorGroup extends Link {
  /** Those that calls go through. */
  ops: IoasidOps;
  readonly ids: Map<number, Ioasid>;
}

/** Registered ops, in the ring of their group. */
export interface Member extends Link {
  readonly ops: IoasidOps;
  group: AllocatorGroup | null;
}

/** The members of a group, in order of registration. */
export function* membersOf(group: AllocatorGroup): Generator<Member, void, void> {
  for (let at = group.next; at !== group; at = at.next) yield at as Member;
}

/** Puts a member at the end of a group's ring. */
export function linkLast(member: Member, group: AllocatorGroup): void {
  member.group = group;
  member.prev = group.prev;
  member.next = group;
  group.prev.next = member;
  group.prev = member;
}

/** Takes a member out of the ring that it is in. */
export function unlink(member: Member): void {
  member.prev.next = member.next;
  member.next.prev = member.prev;
  member.group = null;
}

/** One number space: the same two functions (IOASID-16 d). */
export function sameFunctions(a: IoasidOps, b: IoasidOps): boolean {
  return a.alloc === b.alloc && a.free === b.free;
}
