import { type Coroutine, IommuError, type Kernel, type Mutex, type Slab, type Step } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Device } from '../device.js';
import type { FaultData } from '../fault/fault-data.js';
import type { SvaHandle } from '../iommu-driver.js';
import type { Mm } from '../mm/mm.js';
import type { SvaPoints } from './sva-points.js';

/** What a driver knows of a device, as far as bonds go. */
export interface BondMaster<Bond> {
  readonly device: Device;
  readonly sva: boolean;
  /** One bond per (device, mm) (SVA-3). */
  readonly bonds: Map<Mm, Bond>;
  /** The address space of its requests without PASID, or null. */
  untagged: Bond | null;
}

/** One (device, mm) attachment, as far as every driver has it. */
export interface AnyBond<Master> extends SvaHandle {
  readonly master: Master;
  pasid: number;
  refs: number;
  /** The fault data that its faults go through, with a reference; null where they go elsewhere (FEAT-4). */
  faults: FaultData | null;
}

/** A driver's services that bonds use. */
export interface BondServices {
  readonly kernel: Kernel;
  readonly core: Core;
  /** Names the IOMMU to observers. */
  readonly name: string;
  readonly deviceFeatures: { unuseFaults(bond: Pick<AnyBond<unknown>, 'device' | 'faults'>): void };
}

/** Undoes one step of a bind that failed later. */
export type Undo = () => Coroutine<void>;

/** One handle per (device, mm), counted (SVA-3): what bind and unbind do whatever the IOMMU's entries look like. */
export abstract class Bonds<Master extends BondMaster<Bond>, Bond extends AnyBond<Master>> {
  readonly services: BondServices;
  readonly points: SvaPoints;
  readonly bonds: Slab<Bond>;

  /** `blank`: a bond before anything is known of it. */
  constructor(services: BondServices, points: SvaPoints, blank: Bond) {
    this.services = services;
    this.points = points;
    this.bonds = services.kernel.slab<Bond>('sva bond', blank);
  }

  /** No bond comes or goes meanwhile. */
  abstract lockBonds(): Step<Mutex>;
  /** The first bond of (device, mm): everything is ready before the entry goes live (SVA-5). */
  abstract newBond(master: Master, mm: Mm): Coroutine<Bond>;
  /** The bond is for requests without PASID. */
  abstract isUntagged(bond: Bond): boolean;

  /** One handle per (device, mm) (SVA-3). The caller holds mm_users for the call (SVA-1). */
  *bind(master: Master, mm: Mm): Coroutine<SvaHandle> {
    const lock = yield* this.lockBonds();
    try {
      this.checkEnabled(master);
      const present = this.findBond(master, mm);
      return present !== null ? this.getBond(present) : yield* this.newBond(master, mm);
    } finally {
      lock.release();
    }
  }

  /** SVA-1. */
  checkEnabled(master: Master): void {
    if (master.sva) return;
    throw new IommuError('ENODEV', `SVA is not enabled on ${master.device.name}`, {
      rule: 'SVA-1',
      remedy: "enable the device's sva feature first",
    });
  }

  findBond(master: Master, mm: Mm): Bond | null {
    return master.bonds.get(mm) ?? null;
  }

  getBond(bond: Bond): Bond {
    bond.refs++;
    if (this.tracing)
      this.services.kernel.trace.emit(this.points.bindGet, { dev: bond.device.name, pasid: bond.pasid });
    return bond;
  }

  /** From here on the device may reach the address space. Observers follow PASIDs: without one there is nothing to follow. */
  announce(bond: Bond): void {
    if (this.isUntagged(bond)) return;
    const { kernel, name } = this.services;
    const { device, pasid, mm } = bond;
    for (const sid of device.streams) kernel.observer.bound(sid, pasid, mm.space, device.name, name);
  }

  linkBond(bond: Bond): void {
    const { device, pasid, mm, master } = bond;
    if (this.isUntagged(bond)) master.untagged = bond;
    else master.bonds.set(mm, bond);
    if (this.tracing) this.services.kernel.trace.emit(this.points.bindAlloc, { dev: device.name, pasid });
  }

  *unwindBond(bond: Bond): Coroutine<void> {
    this.services.deviceFeatures.unuseFaults(bond);
    this.bonds.free(bond);
  }

  // ── the end ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** True if it was the last reference. */
  putBond(bond: Bond): boolean {
    if (--bond.refs === 0) return true;
    const { device, pasid } = bond;
    if (this.tracing) this.services.kernel.trace.emit(this.points.unbindPut, { dev: device.name, pasid });
    return false;
  }

  /** One for requests without PASID stays: the device is free for a DMA domain when all of it is gone. */
  unlinkBond(bond: Bond): void {
    if (!this.isUntagged(bond)) bond.master.bonds.delete(bond.mm);
  }

  withdraw(bond: Bond): void {
    if (this.isUntagged(bond)) return;
    const { kernel, name } = this.services;
    const { device, pasid } = bond;
    for (const sid of device.streams) kernel.observer.unbound(sid, pasid, device.name, name);
  }

  /** The mm's PASID with one reference less. Nothing in any table or cache names it any more (SVA-15). */
  freePasid(mm: Mm): void {
    this.services.core.sva.freePasid(mm);
  }

  freeBond(bond: Bond): void {
    const { device, pasid, master } = bond;
    if (this.tracing) this.services.kernel.trace.emit(this.points.unbindFree, { dev: device.name, pasid });
    this.services.deviceFeatures.unuseFaults(bond);
    if (this.isUntagged(bond)) master.untagged = null;
    this.bonds.free(bond);
  }

  get tracing(): boolean {
    return this.services.kernel.trace.on;
  }
}
