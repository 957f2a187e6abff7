import type { Footprint, RwSemaphore, Spinlock } from '@iommukit/kernel';
import type { Subscription } from '../notifier/mmu-notifier.js';
import type { Vma } from './vma.js';

/**
 * What {@link Mm.pasid} is while the address space has none, unless the switch `sentinel` says all ones (IOASID-3).
 * `core.sva.hasPasid` knows.
 */
export const NO_PASID = 0;

/** One address space, with its two counters (MM-1). A record: {@link MmService} acts on it. */
export interface Mm {
  /** Counts from 1 in a machine's life. */
  readonly id: number;
  /** `mm:1`: the owner of its frames in reports, and the address space in `observer.bound`. */
  readonly space: string;
  /** Owner of its data frames: `mm:1 page`. */
  readonly pageOwner: string;
  /** Owner of its table frames: `mm:1 page table`. */
  readonly tableOwner: string;
  /** Physical address of the top-level table; lives until mm_count is 0 (MM-4). */
  pgd: number;
  /** The PASID that devices tag requests with, or what stands for none. Set by the SVA helpers only. */
  pasid: number;
  /** mm_users: users of the address space. */
  users: number;
  /** mm_count: references to this record; all users together hold one. */
  count: number;
  /** Footprint of {@link users}. */
  readonly usersWord: Footprint;
  /** Footprint of {@link count}. */
  readonly countWord: Footprint;
  /** Footprint of {@link subscriptions}. */
  readonly subscriptionsWord: Footprint;
  /** The number that tags its translations in CPU TLBs, with the generation it was given in; 0: none (ASID-1). */
  asidContext: number;
  /** Who needs the ASID to outlive a roll-over (TLB-7). */
  asidPins: number;
  /** The OOM reaper took pages away: a fault that would map a fresh one ends in a bus error (MM-14). */
  unstable: boolean;
  /** Protects {@link vmas}: for read while a fault is handled, for write while they change. */
  readonly mmapLock: RwSemaphore;
  /** Protects page-table entries against one another's writers, and {@link placeholders}. */
  readonly pageTableLock: Spinlock;
  /** The mappings, ascending addresses; ranges never overlap (VMA-1). */
  vmas: Vma[];
  /** MMU notifiers, in order of registration. */
  subscriptions: Subscription[];
  /** Entries of its tables that stand for pages which are elsewhere: swapped out, or being moved. */
  placeholders: number;
}
