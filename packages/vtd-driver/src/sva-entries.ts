import { Bonds, type Mm, NO_PASID } from '@iommukit/core';
import { type Coroutine, Mutex, type Slab, type Spinlock, type Step } from '@iommukit/kernel';
import { FIRST_STAGE_DID } from '@iommukit/vtd-spec';
import type { Bond, Master, Svm } from './records.js';
import { vtdSva } from './trace-points.js';
import type { Vtd } from './vtd.js';

/** A bond before anything is known of it. */
const BLANK: Bond = {
  device: null as unknown as Bond['device'],
  mm: null as unknown as Mm,
  master: null as unknown as Master,
  svm: null as unknown as Svm,
  pasid: NO_PASID,
  refs: 1,
  faults: null,
};

/**
 * The entries of address spaces in devices' PASID tables, and what is cached through them. Callers hold the address
 * space's lock: nothing here sleeps (MN-10).
 */
export abstract class SvaEntries extends Bonds<Master, Bond> {
  readonly vtd: Vtd;
  readonly svms: Slab<Svm>;
  /** Address spaces that devices of this unit use. */
  readonly byMm: Map<Mm, Svm>;
  /** Those that requests without PASID reach. */
  readonly untaggedByMm: Map<Mm, Svm>;
  /** Bind and unbind, one after the other. No callback of an address space takes it, so unbind may drain under it (MM-8). */
  readonly binding: Mutex;

  constructor(vtd: Vtd) {
    super(vtd, vtdSva, BLANK);
    this.vtd = vtd;
    const { kernel } = vtd;
    this.binding = new Mutex(kernel, 'vtd bindings');
    this.byMm = kernel.checkpoints.keepMap(new Map());
    this.untaggedByMm = kernel.checkpoints.keepMap(new Map());
    this.svms = kernel.slab<Svm>('vtd svm', {
      mm: null as unknown as Mm,
      withoutPasid: false,
      did: FIRST_STAGE_DID,
      bonds: [],
      lock: null as unknown as Spinlock,
      cleared: false,
      subscription: null,
    });
  }

  override lockBonds(): Step<Mutex> {
    return this.binding.acquire();
  }

  override isUntagged({ svm }: Bond): boolean {
    return svm.withoutPasid;
  }

  /** The SVA lock of one address space. */
  *lockSvm({ lock }: Svm): Coroutine<Spinlock | null> {
    return yield* lock.acquire();
  }

  unlockSvm(lock: Spinlock | null): void {
    lock?.release();
  }

  // ── an entry's life ────────────────────────────────────────────────────────────────────────────────────────────

  /** Makes room for the entry. Sleeps: no lock is held. */
  reserveEntry({ master, pasid }: Bond): Coroutine<void> {
    return this.vtd.pasids.reserve(master, pasid);
  }

  /** From here on the device may reach the address space (VTD-11). */
  publishEntry(bond: Bond): Coroutine<void> {
    return this.vtd.pasids.install(bond.master, bond.pasid, this.image(bond), this.did(bond));
  }

  /** What the entry holds: the process's own tables. */
  image(bond: Bond): Uint32Array {
    return this.vtd.pasids.imageOf({ pgd: bond.mm.pgd, levels: this.levels(), did: this.did(bond) });
  }

  levels(): 4 | 5 {
    return this.vtd.core.format.addressBits > 48 ? 5 : 4;
  }

  /** Every process has the domain id 1: its PASID tells it from the others (VTD-5). Without one, a domain id of its own does. */
  did({ svm }: Bond): number {
    return svm.did;
  }

  /** No new walks; what the device still sends ends without a fault record (VTD-20, SVA-11). One store. */
  quiesceEntry({ master, pasid }: Bond): Coroutine<void> {
    return this.vtd.pasids.block(master, pasid, this.staysQuiet());
  }

  /** FPD is left in the entry of a dead process. Decided before P goes (D-24). */
  staysQuiet(): boolean {
    return true;
  }

  flushPasidCache(bond: Bond): Coroutine<void> {
    return this.vtd.invalidation.pasid(this.did(bond), bond.pasid);
  }

  flushIotlb(bond: Bond): Coroutine<void> {
    return this.vtd.invalidation.pasidTranslations(this.did(bond), bond.pasid);
  }

  /** Last: a device would refill from what is cached above. What it has translated already stops only here (TLB-2). */
  flushDevTlbs({ master, pasid }: Bond): Coroutine<void> {
    return this.vtd.invalidation.devicePasid(master, pasid);
  }

  /** The rest of the entry goes, when nothing caches it any more; FPD stays (VTD-20). */
  eraseQuiesced({ master, pasid }: Bond): Coroutine<void> {
    return this.vtd.pasids.erase(master, pasid, this.staysQuiet());
  }

  /** Takes the device off the address space: what is left of the entry depends on whether that has died before (VTD-21). */
  *removeEntry(bond: Bond): Coroutine<void> {
    const { master, pasid } = bond;
    const state = yield* this.vtd.pasids.stateOf(master, pasid);
    if (state === 'empty') return yield* this.vtd.pasids.expectZero(master, pasid);
    if (state === 'present') {
      yield* this.clearEntry(bond);
      yield* this.flushAll(bond);
    }
    yield* this.eraseEntry(bond);
  }

  /** P alone (VTD-17, VTD-19): before any flush. */
  clearEntry({ master, pasid }: Bond): Coroutine<void> {
    return this.vtd.pasids.block(master, pasid, false);
  }

  /** Each is complete before the next (VTD-17). */
  *flushAll(bond: Bond): Coroutine<void> {
    yield* this.flushFreedEntry(bond);
    yield* this.flushIotlb(bond);
    yield* this.flushDevTlbs(bond);
  }

  /** TLB-5: the PASID's next owner must not be taken for this one. */
  flushFreedEntry(bond: Bond): Coroutine<void> {
    return this.flushPasidCache(bond);
  }

  /** All zero, FPD as well (VTD-21). */
  eraseEntry({ master, pasid }: Bond): Coroutine<void> {
    return this.vtd.pasids.erase(master, pasid, false);
  }
}
