import type { Device, Mm, Subscription, SvaHandle } from '@iommukit/core';
import type { DomainNotifier } from './domain-notifier.js';

/** A device under an SMMU (sva-core.md 6). */
export interface Master {
  readonly device: Device;
  /** The domain whose descriptors its STEs point to, or null: its transactions are aborted. */
  domain: Domain | null;
  /** Width of its PASIDs in bits; 0: it can have none. */
  ssidBits: number;
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
}

/** A table of context descriptors in memory. */
export interface ContextTable {
  /** Physical address: of the descriptors, or of the level-1 table. */
  readonly pa: number;
  /** log2 of the number of descriptors: S1CDMax. */
  readonly bits: number;
  readonly twoLevel: boolean;
  /** Level-1 index → physical address of its descriptors. */
  readonly leaves: Map<number, number>;
  /** Level-1 index → how many of its descriptors are in use; descriptor 0 always is. */
  readonly users: Map<number, number>;
}

/** Devices that share one table of context descriptors. */
export interface Domain {
  masters: Master[];
  contexts: ContextTable;
  /** The ops of its MMU notifiers: what makes them one per (domain, mm) (MN-2, SVA-4). */
  notifier: DomainNotifier;
}

/** What all descriptors of one mm share, in whatever domain: one per mm. */
export interface SharedContext {
  readonly mm: Mm;
  /** Private to the SMMU. */
  readonly asid: number;
  /** Domains that use it. */
  users: number;
}

/** One per (domain, mm); the owner's part of an MMU notifier (SVA-4). */
export interface NotifierObject {
  readonly domain: Domain;
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
}
