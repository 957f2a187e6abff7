import { type Coroutine, IommuError, type Kernel, type Slab } from '@iommukit/kernel';
import {
  type AllocatorGroup,
  type IoasidOps,
  type Link,
  linkLast,
  type Member,
  membersOf,
  sameFunctions,
  unlink,
} from './allocator-group.js';
import type { Ioasid } from './ioasid.js';
import type { IoasidTable } from './ioasid-table.js';
import { ioasidLost } from './tracepoints.js';

/** Custom allocators: which are registered, and which one is asked (IOASID-16). */
export class CustomAllocators {
  readonly ioasid: IoasidTable;
  readonly kernel: Kernel;
  readonly groupSlab: Slab<AllocatorGroup>;
  readonly memberSlab: Slab<Member>;
  /** In order of registration. */
  readonly groups: AllocatorGroup[] = [];
  /** The place in a ring that belongs to registered ops. */
  readonly members = new Map<IoasidOps, Member>();
  /** `active`: the group that is asked; null: the default allocator is (IOASID-16 a). */
  readonly state: { active: AllocatorGroup | null } = { active: null };

  constructor(ioasid: IoasidTable) {
    const { kernel } = ioasid.core;
    this.ioasid = ioasid;
    this.kernel = kernel;
    const link = { next: null as unknown as Link, prev: null as unknown as Link };
    const ops = null as unknown as IoasidOps;
    this.groupSlab = kernel.slab<AllocatorGroup>('ioasid allocator', { ...link, ops, ids: new Map() });
    this.memberSlab = kernel.slab<Member>('ioasid allocator ops', { ...link, ops, group: null });
    kernel.checkpoints.keepList(this.groups);
    kernel.checkpoints.keepMap(this.members);
    kernel.checkpoints.keep(this.state);
  }

  /**
   * Registers a custom allocator; the first one takes the default's place (IOASID-16 b).
   * @throws IommuError ENOMEM, EAGAIN while the default allocator holds numbers, EEXIST for ops that are registered
   */
  *register(ops: IoasidOps): Coroutine<void> {
    const group = this.makeGroup(ops);
    const { lock } = this.ioasid;
    yield* lock.acquire();
    try {
      this.checkNew(ops);
      const shared = this.sharing(ops);
      if (shared === null) {
        this.checkDefaultEmpty();
        this.link(ops, group);
        this.add(group);
      } else {
        this.link(ops, shared);
        this.discard(group);
      }
    } catch (error) {
      this.discard(group);
      throw error;
    } finally {
      lock.leave();
    }
  }

  /**
   * Removes a custom allocator. If it was the last of the group that is asked, the next group in order of registration
   * is, or the default allocator (IOASID-16 e). The caller may free the ops' data when this returns.
   * @throws IommuError ENOENT for ops that are not registered
   */
  *unregister(ops: IoasidOps): Coroutine<void> {
    const { lock } = this.ioasid;
    yield* lock.acquire();
    try {
      const member = this.find(ops);
      if (member === null) throw new IommuError('ENOENT', 'these ops are not registered', { rule: 'IOASID-16' });
      const group = member.group!;
      this.drop(member);
      if (group.next === group) this.remove(group);
      else this.repoint(group, ops);
    } finally {
      lock.leave();
    }
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A group of its own for the ops, outside the lock and not yet reachable. Links nothing (IOASID-16 c). */
  makeGroup(ops: IoasidOps): AllocatorGroup {
    const group = this.groupSlab.alloc({ ops, ids: new Map<number, Ioasid>() });
    group.next = group;
    group.prev = group;
    return group;
  }

  /** A group that nobody could reach. */
  discard(group: AllocatorGroup): void {
    this.groupSlab.free(group);
  }

  checkNew(ops: IoasidOps): void {
    if (this.find(ops) === null) return;
    throw new IommuError('EEXIST', 'these ops are registered already', { rule: 'IOASID-16' });
  }

  checkDefaultEmpty(): void {
    const { size } = this.ioasid.space.ids;
    if (this.groups.length > 0 || size === 0) return;
    throw new IommuError('EAGAIN', `the default allocator holds ${size} numbers`, {
      rule: 'IOASID-16',
      remedy: 'register before the first number is allocated',
    });
  }

  find(ops: IoasidOps): Member | null {
    for (const group of this.groups) for (const member of membersOf(group)) if (member.ops === ops) return member;
    return null;
  }

  /** The group that the ops share functions with. */
  sharing(ops: IoasidOps): AllocatorGroup | null {
    return this.groups.find((group) => sameFunctions(group.ops, ops)) ?? null;
  }

  /** @throws IommuError ENOMEM */
  link(ops: IoasidOps, group: AllocatorGroup): void {
    const member = this.members.get(ops) ?? this.memberSlab.alloc({ ops });
    if (member.group === group) return;
    this.members.set(ops, member);
    linkLast(member, group);
  }

  drop(member: Member): void {
    unlink(member);
    this.members.delete(member.ops);
    this.memberSlab.free(member);
  }

  add(group: AllocatorGroup): void {
    this.groups.push(group);
    this.state.active ??= group;
  }

  /** The ops that calls of the group go through leave: the next of its members takes their place (IOASID-16 d). */
  repoint(group: AllocatorGroup, left: IoasidOps): void {
    if (group.ops === left) group.ops = (group.next as Member).ops;
  }

  /** Lookups may still look at the group: it is freed after a grace period. */
  remove(group: AllocatorGroup): void {
    if (group.ids.size > 0) this.lose(group);
    this.groups.splice(this.groups.indexOf(group), 1);
    if (this.state.active === group) this.state.active = this.groups[0] ?? null;
    this.kernel.rcu.call(() => this.groupSlab.free(group));
  }

  /** IOASID-16 f: nobody can give these numbers back any more. */
  lose({ ids }: AllocatorGroup): void {
    const { kernel } = this;
    if (kernel.trace.wants(ioasidLost))
      kernel.trace.emit(ioasidLost, { count: ids.size, ids: [...ids.keys()].join(',') });
    for (const record of ids.values()) this.ioasid.freeRecord(record);
    ids.clear();
  }
}
