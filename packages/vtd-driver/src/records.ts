import type { Device, DmaDomain, FaultData, Mm, Subscription, SvaHandle, TableRoot } from '@iommukit/core';
import type { Spinlock } from '@iommukit/kernel';

/** A device under a VT-d unit (sva-core.md 6). */
export interface Master {
  readonly device: Device;
  /** Its PASIDs' entries; null before it has any, and outside scalable mode. */
  directory: PasidDirectory | null;
  /** Width of its PASIDs in bits; 0: it can have none. */
  pasidBits: number;
  /** They are on in the device. */
  pasidsOn: boolean;
  /** The DMA domain that its requests without PASID go through, or null: they are terminated. */
  domain: Domain | null;
  /** It translates by itself: its context entry allows it, and ATS is on in the device. */
  ats: boolean;
  /** Why it does not translate by itself; '' if it does. */
  noAts: string;
  /** Invalidations that it takes at a time; 0 stands for 32 and more (vtd.md 3.3). */
  depth: number;
  /** Its TLB must be told everything twice (VTD-26). */
  twice: boolean;
  /** It can send page requests: the unit takes and drains them, ATS works, and its answers name their PASID (VTD-10). */
  pri: boolean;
  /** Why it can send none; '' if it can. */
  noPri: string;
  /** Its share of the page request queue while PRI is on; 0 otherwise. */
  priCredits: number;
  iopf: boolean;
  sva: boolean;
  /** It was pulled out: nothing is sent to it any more. */
  gone: boolean;
  /** One bond per (device, mm) (SVA-3). */
  bonds: Map<Mm, Bond>;
  /** The bond that its requests without PASID use, or null. */
  untagged: Bond | null;
  /** Its own reference, and one for each interrupt thread that has looked it up by a requester id (IOPF-26). */
  refs: number;
}

/** A PASID directory in memory: one a device (SVA-4, SVA-19). */
export interface PasidDirectory {
  readonly pa: number;
  readonly bytes: number;
  /** PDTS: it has 2^(PDTS+7) entries. */
  readonly pdts: number;
  /** Directory index → physical address of its 64 entries. They stay as long as the directory does (VTD-7). */
  readonly leaves: Map<number, number>;
  /** In the extended-context mode `pa` is the unit's PASID table: the state table beside it, 0 for none, and their entries. */
  readonly states?: number;
  readonly entries?: number;
}

/**
 * An address space that devices of the unit use: one per (unit, mm) and kind of request, the owner's part of an MMU notifier
 * (SVA-4).
 */
export interface Svm {
  readonly mm: Mm;
  /** Requests without PASID reach it: it has an id of its own, for their PASID is 0 whatever the address space (VTD-40). */
  readonly withoutPasid: boolean;
  /** Tags its translations, together with the PASID (VTD-5). */
  readonly did: number;
  /** Devices that use it: what callbacks walk. Changed and walked under {@link lock}. */
  bonds: Bond[];
  /** Protects {@link bonds} and their entries; nothing sleeps under it (MN-10). */
  readonly lock: Spinlock;
  /** Its address space is dead, or its last device is gone: a release finds nothing to do (MN-7, SVA-23). */
  cleared: boolean;
  subscription: Subscription | null;
}

/** One (device, mm) attachment: what the device driver holds. */
export interface Bond extends SvaHandle {
  readonly master: Master;
  readonly svm: Svm;
  /** 0 for requests without PASID: what their entry is called (VTD-40). */
  pasid: number;
  refs: number;
  /** The fault data that its faults go through, with a reference; null where they go elsewhere (FEAT-4). */
  faults: FaultData | null;
}

/** Addresses for requests without PASID, by second-stage tables. */
export interface Domain extends DmaDomain {
  /** Tags its translations; from 2 on (VTD-5). */
  readonly did: number;
  /** The devices that are attached to it. */
  masters: Master[];
  readonly tables: TableRoot;
}
