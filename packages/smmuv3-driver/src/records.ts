import type { Device, DmaDomain, FaultData, Mm, Subscription, SvaHandle, TableRoot } from '@iommukit/core';
import type { DomainNotifier } from './domain-notifier.js';
import type { InvalidationTarget } from './invalidation-targets.js';

/** A device under an SMMU (sva-core.md 6). */
export interface Master {
  readonly device: Device;
  /** The domain whose descriptors its STEs point to, or null: its transactions are aborted. */
  domain: Domain | null;
  /** The domain in which it is when nobody attaches it anywhere, or null if it has no PASIDs: then it is in none. */
  home: Domain | null;
  /** Width of its PASIDs in bits; 0: it can have none. */
  pasidBits: number;
  /** Its transactions may be stalled while a fault is being handled (FEAT-5). */
  stalls: boolean;
  /** It translates by itself: its STEs say EATS=1, and ATS is on in the device. */
  ats: boolean;
  /** Why it does not translate by itself; '' if it does. */
  noAts: string;
  /** It can send page requests: the SMMU has a queue for them, ATS works, and the device has the capability. */
  pri: boolean;
  /** Its share of the PRI queue while PRI is on; 0 otherwise. */
  priCredits: number;
  /** Answers to its page requests carry a PASID (PCI-8). */
  pasidInResponses: boolean;
  iopf: boolean;
  sva: boolean;
  /** One bond per (device, mm) (SVA-3). */
  bonds: Map<Mm, Bond>;
  /** The bond that its requests without PASID use, or null. */
  untagged: Bond | null;
  /** Its own reference, and one for each interrupt thread that has looked it up by a stream (IOPF-26). */
  refs: number;
}

/** A table of context descriptors in memory. */
export interface ContextTable {
  /** Physical address: of the descriptors, or of the level-1 table. */
  readonly pa: number;
  /** log2 of the number of descriptors: S1CDMax. */
  readonly bits: number;
  readonly twoLevel: boolean;
  /** log2 of the descriptors in a leaf: 6 or 10. */
  readonly leafBits: number;
  /** Level-1 index → physical address of its descriptors. */
  readonly leaves: Map<number, number>;
  /** Level-1 index → how many of its descriptors are in use; descriptor 0 always is. */
  readonly users: Map<number, number>;
}

/** Devices that share one table of context descriptors: one domain to bonds, whatever requests without PASID do (SVA-4). */
export interface Domain extends DmaDomain {
  /** The devices whose entries point to the table, or are about to. */
  masters: Master[];
  /** What caches of the devices are reached by: replaced when it grows (SMMU-26). */
  targets: InvalidationTarget[];
  contexts: ContextTable;
  /** Transactions of its devices may be stalled: the descriptors say so for all of them (FEAT-7). */
  readonly stalls: boolean;
  /** The ops of its MMU notifiers: what makes them one per (domain, mm) (MN-2, SVA-4). */
  notifier: DomainNotifier;
  /** The same for address spaces that requests without PASID reach. */
  untaggedNotifier: DomainNotifier;
  /** What requests without PASID reach: addresses of the domain's own; null: none. */
  own: PrivateContext | null;
  /** They reach the address space of a process: descriptor 0 is its. */
  shared: boolean;
}

/** The address space that a DMA domain makes for itself. */
export interface PrivateContext {
  readonly kind: 'private';
  readonly domain: Domain;
  readonly tables: TableRoot;
  asid: number;
  /** The number that it is moving away from and that its translations may still be cached under; 0: none (SMMU-15). */
  leaving: number;
}

/** What all descriptors of one mm share, in whatever domain: one per mm. */
export interface SharedContext {
  readonly kind: 'shared';
  readonly mm: Mm;
  /** The CPUs' own, pinned; or one of the SMMU's (SMMU-15). */
  asid: number;
  /** It holds an mm_count: the ASID is unpinned before the last reference goes (SVA-16). */
  holdsMm: boolean;
  /** Domains that use it. */
  users: number;
}

/** One per (domain, mm) and kind of request; the owner's part of an MMU notifier (SVA-4). */
export interface NotifierObject {
  readonly domain: Domain;
  /** Requests without PASID reach the address space, by descriptor 0. */
  readonly withoutPasid: boolean;
  /** Gone when the last user is; callbacks that are still under way use {@link asid}. */
  context: SharedContext;
  asid: number;
  /** Nothing of the address space is cached any more, and nothing can be again; or the entry is gone (SVA-13, SVA-23). */
  cleared: boolean;
  /** Bonds that use it (SVA-14). */
  users: number;
  subscription: Subscription | null;
}

/** One (device, mm) attachment: what the device driver holds. */
export interface Bond extends SvaHandle {
  readonly master: Master;
  readonly object: NotifierObject;
  pasid: number;
  refs: number;
  /** The fault data that its faults go through, with a reference; null where they go elsewhere (FEAT-4). */
  faults: FaultData | null;
}
