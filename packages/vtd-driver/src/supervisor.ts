import {
  type BondRecord,
  type Device,
  INVALID_IOASID,
  type IoasidSet,
  type Mm,
  type PageSpan,
  type SupervisorHandle,
} from '@iommukit/core';
import { type Coroutine, IommuError, Mutex, type Slab, type TracePoint } from '@iommukit/kernel';
import { FIRST_STAGE_DID } from '@iommukit/vtd-spec';
import type { Master } from './records.js';
import { vtdSupervisorFlush, vtdSva } from './trace-points.js';
import type { Vtd } from './vtd.js';

/** The set of PASIDs that stand for the kernel. */
export const SUPERVISOR_PASIDS: IoasidSet = Object.freeze({ name: 'supervisor' });

/** One device with the kernel's PASID. */
export interface SupervisorBond extends SupervisorHandle {
  readonly master: Master;
  refs: number;
}

/**
 * PASIDs for the kernel's own tables (VTD-42). Nobody tells an IOMMU when kernel mappings change, so devices may use the
 * static 1:1 map alone, and its users flush when they are done (SVA-20).
 */
export class Supervisor {
  readonly vtd: Vtd;
  readonly lock: Mutex;
  readonly slab: Slab<SupervisorBond>;
  readonly bonds: Map<Device, SupervisorBond>;
  readonly state = { pasid: 0 };

  constructor(vtd: Vtd) {
    const { kernel } = vtd;
    this.vtd = vtd;
    this.lock = new Mutex(kernel, 'vtd supervisor');
    this.slab = kernel.slab<SupervisorBond>('supervisor bond', {
      device: null as unknown as Device,
      pasid: 0,
      master: null as unknown as Master,
      refs: 1,
    });
    this.bonds = kernel.checkpoints.keepMap(new Map());
    kernel.checkpoints.keep(this.state);
  }

  // ── bind and unbind ────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Lets a device use the kernel's addresses: one handle a device, counted.
   * @throws IommuError EINVAL if a process is given, ENODEV with the reason, ENOSPC, EOVERFLOW when the kernel's PASID does
   * not fit the device, ENOMEM
   */
  *bind(master: Master, mm: Mm | null = null): Coroutine<SupervisorHandle> {
    this.checkSupport(master, mm);
    const lock = yield* this.lock.acquire();
    try {
      const present = this.bonds.get(master.device);
      if (present !== undefined) return this.getBond(present);
      return yield* this.newBond(master);
    } finally {
      lock.release();
    }
  }

  getBond(bond: SupervisorBond): SupervisorBond {
    bond.refs++;
    this.tell(vtdSva.bindGet, bond);
    return bond;
  }

  *newBond(master: Master): Coroutine<SupervisorBond> {
    const { device } = master;
    const pasid = this.takePasid(master);
    const bond = this.allocBond(master, pasid);
    try {
      yield* this.vtd.pasids.reserve(master, pasid);
      this.announce(bond);
      yield* this.publishEntry(bond);
      this.bonds.set(device, bond);
      this.tell(vtdSva.bindAlloc, bond);
      return bond;
    } catch (error) {
      this.slab.free(bond);
      this.putPasid(pasid);
      throw error;
    }
  }

  allocBond(master: Master, pasid: number): SupervisorBond {
    try {
      return this.slab.alloc({ device: master.device, pasid, master });
    } catch (error) {
      this.putPasid(pasid);
      throw error;
    }
  }

  /** Drops one reference; the last one takes the device off the kernel's addresses. The device has stopped. */
  *unbind(handle: SupervisorHandle): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    try {
      const bond = handle as SupervisorBond;
      if (--bond.refs > 0) return this.tell(vtdSva.unbindPut, bond);
      this.bonds.delete(bond.device);
      yield* this.removeEntry(bond);
      yield* this.vtd.drain.run(bond.master, bond.pasid);
      this.withdraw(bond);
      this.tell(vtdSva.unbindFree, bond);
      this.putPasid(bond.pasid);
      this.slab.free(bond);
      if (this.bonds.size === 0) this.vtd.kernelTables.destroy();
    } finally {
      lock.release();
    }
  }

  checkSupport(master: Master, mm: Mm | null): void {
    const { features, name, sva } = this.vtd;
    if (mm !== null) {
      throw new IommuError('EINVAL', 'Supervisor PASID with user provided mm.', {
        rule: 'VTD-42',
        remedy: 'bind the process without asking for a supervisor PASID',
      });
    }
    if (!features.srs) {
      throw new IommuError('ENODEV', `${name}: ECAP.SRS is 0: it takes no supervisor requests`, { rule: 'VTD-42' });
    }
    sva.checkEnabled(master);
  }

  /** One PASID stands for the kernel on all devices of the unit. */
  takePasid(master: Master): number {
    const { ioasid } = this.vtd.core;
    const { state } = this;
    if (state.pasid !== 0) {
      this.checkFits(master, state.pasid);
      ioasid.get(state.pasid);
      return state.pasid;
    }
    const pasid = ioasid.alloc(SUPERVISOR_PASIDS, 1, 2 ** master.pasidBits - 1, this.vtd.name);
    if (pasid === INVALID_IOASID) {
      throw new IommuError('ENOSPC', 'no PASID is free for the kernel', { rule: 'VTD-41', remedy: 'unbind a process' });
    }
    state.pasid = pasid;
    return pasid;
  }

  checkFits({ device, pasidBits }: Master, pasid: number): void {
    if (pasid < 2 ** pasidBits) return;
    throw new IommuError('EOVERFLOW', `the kernel's PASID ${pasid} does not fit ${device.name}`, {
      rule: 'VTD-41',
      remedy: 'bind the device with the fewest PASID bits first',
    });
  }

  putPasid(pasid: number): void {
    if (this.vtd.core.ioasid.put(pasid)) this.state.pasid = 0;
  }

  tell(point: TracePoint<BondRecord>, { device, pasid }: SupervisorBond): void {
    const { trace } = this.vtd.kernel;
    if (trace.wants(point)) trace.emit(point, { dev: device.name, pasid });
  }

  announce({ device, pasid }: SupervisorBond): void {
    const { kernel, name } = this.vtd;
    for (const sid of device.streams) kernel.observer.bound(sid, pasid, 'kernel', device.name, name);
  }

  withdraw({ device, pasid }: SupervisorBond): void {
    const { kernel, name } = this.vtd;
    for (const sid of device.streams) kernel.observer.unbound(sid, pasid, device.name, name);
  }

  // ── the entry ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** SRE, and WPE: what is read-only is so for the supervisor too, as with CR0.WP (VTD-42). */
  publishEntry({ master, pasid }: SupervisorBond): Coroutine<void> {
    const { kernelTables, pasids } = this.vtd;
    const image = pasids.imageOf({ pgd: kernelTables.pgd(), levels: kernelTables.levels, supervisor: true });
    return pasids.install(master, pasid, image, FIRST_STAGE_DID);
  }

  /** VTD-17. */
  *removeEntry({ master, pasid }: SupervisorBond): Coroutine<void> {
    const { invalidation, pasids } = this.vtd;
    yield* pasids.block(master, pasid, false);
    yield* invalidation.pasid(FIRST_STAGE_DID, pasid);
    yield* invalidation.pasidTranslations(FIRST_STAGE_DID, pasid);
    yield* invalidation.devicePasid(master, pasid);
    yield* pasids.erase(master, pasid, false);
  }

  // ── use ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The kernel address at which a device reaches memory that somebody owns.
   * @throws IommuError EFAULT for anything else, ENOMEM
   */
  *map(pa: number, bytes: number): Coroutine<bigint> {
    const { kernelTables } = this.vtd;
    this.checkOwned(pa, bytes);
    yield* kernelTables.mapDirect(framesOf(pa, bytes));
    return kernelTables.directOf(pa);
  }

  /**
   * A kernel address may go to a device: it lies in the 1:1 map, and memory is there.
   * @throws IommuError EFAULT outside, ENOMEM
   */
  *use(address: bigint, bytes: number): Coroutine<void> {
    this.checkDirect(address, bytes);
    if (this.vtd.kernelTables.isDirect(address, bytes)) {
      yield* this.map(this.vtd.kernelTables.physicalOf(address), bytes);
    }
  }

  /** SVA-20: mappings elsewhere go, and nobody flushes them. */
  checkDirect(address: bigint, bytes: number): void {
    if (bytes > 0 && this.vtd.kernelTables.isDirect(address, bytes)) return;
    throw new IommuError('EFAULT', `${bytes} bytes at 0x${address.toString(16)} are not in the kernel's 1:1 map`, {
      rule: 'SVA-20',
      remedy: 'give the device memory that is not mapped piece by piece (vmalloc, modules, stacks)',
    });
  }

  checkOwned(pa: number, bytes: number): void {
    const { frames } = this.vtd.core.bus;
    const { first, last } = framesOf(pa, bytes);
    for (let frame = first; frame <= last; frame++) {
      if (frames.ownerOf(frame) !== null) continue;
      throw new IommuError('EFAULT', `nobody owns memory at 0x${(frame * 4096).toString(16)}`, { rule: 'SVA-20' });
    }
  }

  /**
   * The memory is not the devices' any more: who gave it says so before it is used for something else, as with a DMA unmap. The
   * 1:1 map itself stays as it is.
   */
  *unmap(address: bigint, bytes: number): Coroutine<void> {
    const { observer } = this.vtd.kernel;
    const { pasid } = this.state;
    const { first, last } = this.spanOf(address, bytes);
    observer.invalidating(pasid, first, last);
    yield* this.flush(address, bytes);
    observer.invalidated(pasid, first, last);
  }

  spanOf(address: bigint, bytes: number): PageSpan {
    const { kernelTables } = this.vtd;
    return { first: kernelTables.pageOf(address), last: kernelTables.pageOf(address + BigInt(bytes) - 1n) };
  }

  /** Nothing of these addresses is cached any more, in the unit or a device (SVA-20). */
  *flush(address: bigint, bytes: number): Coroutine<void> {
    const { invalidation, kernel, queue } = this.vtd;
    const { pasid } = this.state;
    if (pasid === 0) return;
    const range = this.spanOf(address, bytes);
    if (kernel.trace.wants(vtdSupervisorFlush)) {
      kernel.trace.emit(vtdSupervisorFlush, { pasid, start: address, end: address + BigInt(bytes) });
    }
    const batch = queue.batch();
    this.addIotlb(batch, pasid, range);
    for (const { master } of [...this.bonds.values()]) {
      yield* invalidation.addDevicePages(batch, master, pasid, range);
    }
    yield* queue.submitAndSync(batch);
  }

  addIotlb(batch: Parameters<Vtd['invalidation']['addPasid']>[0], pasid: number, range: PageSpan): void {
    this.vtd.invalidation.addPasidPages(batch, FIRST_STAGE_DID, pasid, range);
  }
}

function framesOf(pa: number, bytes: number): PageSpan {
  return { first: Math.floor(pa / 4096), last: Math.floor((pa + bytes - 1) / 4096) };
}
