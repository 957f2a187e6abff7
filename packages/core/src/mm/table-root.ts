import type { Spinlock } from '@iommukit/kernel';

/** The top of a tree of page tables: an mm's, or that of a DMA domain. */
export interface TableRoot {
  /** Physical address of the top-level table. */
  pgd: number;
  /** Owner of its table frames: `mm:1 page table`. */
  readonly tableOwner: string;
  /** Protects entries against one another's writers. */
  readonly pageTableLock: Spinlock;
}
