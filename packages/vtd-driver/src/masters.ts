import { Masters as AnyMasters, type Device } from '@iommukit/core';
import { type Coroutine, IommuError, type Mmio } from '@iommukit/kernel';
import * as pci from '@iommukit/pci-ats';
import { requestRefusal } from './probe.js';
import { vtdAlias } from './queue-points.js';
import type { Master } from './records.js';
import { givenCredits } from './settings.js';
import type { Vtd } from './vtd.js';

/** A master before anything is known of it. */
const BLANK: Master = {
  device: null as unknown as Device,
  directory: null,
  pasidBits: 0,
  pasidsOn: false,
  domain: null,
  ats: false,
  noAts: 'it is not settled',
  depth: 0,
  twice: false,
  pri: false,
  noPri: 'it is not settled',
  priCredits: 0,
  iopf: false,
  sva: false,
  gone: false,
  bonds: new Map(),
  untagged: null,
  refs: 1,
};

/** What absent hardware reads as. */
const ALL_ONES = 0xffffffff;
/** Page requests that one device may have outstanding, if the queue has room for so many (PCI-9). */
const PRI_CREDITS = 32;
/** Requester ids have 16 bits. */
const REQUESTERS = 0x10000;
/** A device that takes so many invalidations at a time is told nothing: 0 in the descriptor (vtd.md 3.3). */
const DEEP = 32;
/** Firmware's word for a device that misses an invalidation while another is under way. */
const EXTRA_FLUSH = 'dtlb-extra-inval';
/** log2 of the least that a device may be asked to translate at a time. */
const PAGE_SHIFT = 12;

/** The devices under a unit, and which requester ids are theirs. */
export class Masters extends AnyMasters<Master> {
  readonly vtd: Vtd;
  readonly state = { credits: 0 };

  constructor(vtd: Vtd) {
    super(vtd, 'vtd', BLANK);
    this.vtd = vtd;
    vtd.kernel.checkpoints.keep(this.state);
  }

  override allocMaster(device: Device): Master {
    return this.slab.alloc({ device, bonds: this.vtd.kernel.checkpoints.keepMap(new Map()) });
  }

  override describeStream(sid: number): string {
    const id = `requester 0x${sid.toString(16)}`;
    if (sid < REQUESTERS) return id;
    throw new IommuError('ERANGE', `${id} does not fit in 16 bits`, {
      remedy: "correct the devices' requester ids in the platform description",
    });
  }

  override reportAlias(rid: number, other: Master): void {
    const { trace } = this.vtd.kernel;
    if (trace.wants(vtdAlias)) trace.emit(vtdAlias, { unit: this.vtd.name, rid, other: other.device.name });
  }

  // ── what a device gets ─────────────────────────────────────────────────────────────────────────────────────────

  /** Finds out what the device can do, gives it its entries, and switches it on: PASID before ATS (VTD-9, PCI-1, PCI-4). */
  *settle(master: Master): Coroutine<void> {
    const { contexts, pasids, mode } = this.vtd;
    master.pasidBits = Math.min(yield* this.pasidBits(master.device), this.vtd.features.pasidBits);
    master.noAts = yield* this.whyNoAts(master.device);
    master.noPri = yield* this.whyNoPri(master);
    if (mode === 'legacy') return yield* this.reserveContexts(master);
    yield* pasids.create(master);
    yield* contexts.install(master);
    yield* this.enablePasids(master);
    yield* this.enableAts(master);
    master.pri = master.noPri === '';
  }

  /** Where a DMA domain will be: tables stay, so that what comes and goes leaves nothing behind. */
  *reserveContexts({ device }: Master): Coroutine<void> {
    for (const sid of device.streams) yield* this.vtd.contexts.reserve(sid);
  }

  /** The reverse (VTD-9, PCI-5): also where {@link settle} came half way. */
  *unsettle(master: Master): Coroutine<void> {
    const { contexts, pasids } = this.vtd;
    yield* this.disableAts(master);
    yield* this.disablePasids(master);
    if (master.directory === null) return;
    yield* contexts.remove(master);
    yield* pasids.destroy(master);
  }

  /** Width of the PASIDs that a device can send: by its capability, or by firmware (0: none). */
  *pasidBits(device: Device): Coroutine<number> {
    if (this.vtd.mode === 'legacy') return 0;
    if (device.config === null) return Number(device.property('pasid-num-bits') ?? 0);
    return yield* pci.pasidBits(device.config);
  }

  *enablePasids(master: Master): Coroutine<void> {
    const { config } = master.device;
    if (master.pasidBits === 0 || config === null) return;
    yield* pci.enablePasid(config, yield* this.pasidFeatures(config));
    master.pasidsOn = true;
  }

  /** Privileged requests are for supervisor PASIDs (VTD-42): where the unit takes none the device shall send none. */
  *pasidFeatures(config: Mmio): Coroutine<number> {
    if (!this.vtd.features.srs) return 0;
    return ((yield* pci.pasidFeatures(config)) ?? 0) & pci.PASID_FEATURE.PRIV;
  }

  *disablePasids(master: Master): Coroutine<void> {
    const { device, pasidsOn } = master;
    if (pasidsOn && (yield* this.isPresent(device))) yield* pci.disablePasid(device.config!);
    master.pasidsOn = false;
    master.pasidBits = 0;
  }

  /** The device translates by itself from here on: its context entry allows it (PCI-4). */
  *enableAts(master: Master): Coroutine<void> {
    const { config } = master.device;
    if (master.noAts !== '') return;
    const depth = yield* pci.atsQueueDepth(config!);
    master.depth = depth >= DEEP ? 0 : depth;
    master.twice = master.device.property(EXTRA_FLUSH) === true;
    yield* pci.enableAts(config!, PAGE_SHIFT);
    master.ats = true;
  }

  /** The device drops what it caches (PCI-5). */
  *disableAts(master: Master): Coroutine<void> {
    const { device, ats } = master;
    if (ats && (yield* this.isPresent(device))) yield* pci.disableAts(device.config!);
    master.ats = false;
    master.pri = false;
  }

  /** False for a PCI function that was pulled out: its configuration reads as ones, and nothing of it need be switched off. */
  *isPresent({ config }: Device): Coroutine<boolean> {
    return config === null || (yield* config.read32(0)) !== ALL_ONES;
  }

  /** True if nothing answers for a requester id any more; from then on nothing is sent to its device (vtd.md 3.13). */
  *noticeGone(sid: number): Coroutine<boolean> {
    const master = this.find(sid);
    if (master === null) return true;
    if (!master.gone && !(yield* this.isPresent(master.device))) master.gone = true;
    return master.gone;
  }

  /** Why the device cannot translate by itself, or ''. */
  *whyNoAts(device: Device): Coroutine<string> {
    if (this.vtd.mode === 'legacy') return `${this.vtd.name} is in legacy mode`;
    if (!this.vtd.features.dt) return `${this.vtd.name} knows no device TLBs (ECAP.DT is 0)`;
    if (device.config === null) return `${device.name} is no PCI function`;
    if (device.property('ats-supported') !== true) return `firmware does not say that the root port supports ATS`;
    if (device.property('untrusted') === true) return `${device.name} is not trusted`;
    if (!(yield* pci.atsSupported(device.config))) return `${device.name} has no ATS capability`;
    return '';
  }

  /** Why the device's page requests cannot be taken, or '' (VTD-10, VTD-30). */
  *whyNoPri({ device, noAts, pasidBits }: Master): Coroutine<string> {
    const reason = requestRefusal(this.vtd.features);
    if (reason !== '') return `${this.vtd.name}: ${reason}`;
    if (noAts !== '') return `page requests need ATS: ${noAts}`;
    if (!(yield* pci.priSupported(device.config!))) return `${device.name} has no PRI capability`;
    // The unit's answers always carry the PASID.
    if (pasidBits > 0 && !(yield* pci.prgResponsePasidRequired(device.config!))) {
      return `${device.name} does not take answers with a PASID (PRG Response PASID Required is 0)`;
    }
    return '';
  }

  // ── page requests ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Lets the device send page requests. @throws IommuError ENOSPC when the queue has no room for it */
  *enablePri(master: Master): Coroutine<void> {
    const config = master.device.config!;
    const share = this.shareOf(master);
    yield* pci.resetPri(config);
    master.priCredits = yield* pci.enablePri(config, share);
    this.state.credits += master.priCredits;
  }

  /** PCI-9: the sum of all shares fits in the queue, unless somebody wants it to overflow. */
  shareOf({ device }: Master): number {
    const given = givenCredits(this.vtd.core.settings);
    if (given > 0) return given;
    // A queue with one entry less than it has is full.
    const left = this.vtd.pageRequests.entries - 1 - this.state.credits;
    if (left > 0) return Math.min(PRI_CREDITS, left);
    throw new IommuError('ENOSPC', `the page request queue of ${this.vtd.name} has no room for ${device.name}`, {
      rule: 'PCI-9',
      remedy: 'give the unit a longer page request queue',
    });
  }

  /** No more page requests; those that are outstanding are still answered (PCI-5). */
  *disablePri({ priCredits, device }: Master): Coroutine<void> {
    if (priCredits > 0 && (yield* this.isPresent(device))) yield* pci.disablePri(device.config!);
  }

  /** Waits until every page request of the device is answered. */
  *awaitPriStopped(master: Master): Coroutine<void> {
    const { priCredits, device } = master;
    if (priCredits === 0) return;
    if (yield* this.isPresent(device)) yield* pci.awaitPriStopped(device.config!);
    this.state.credits -= priCredits;
    master.priCredits = 0;
  }
}
