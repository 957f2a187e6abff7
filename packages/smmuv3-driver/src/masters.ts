import { Masters as AnyMasters, type Device } from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import * as pci from '@iommukit/pci-ats';
import { smmuAlias } from './error-points.js';
import type { Master } from './records.js';
import { givenCredits } from './settings.js';
import type { Smmu } from './smmu.js';

/** A master before anything is known of it. */
const BLANK: Master = {
  device: null as unknown as Device,
  domain: null,
  home: null,
  pasidBits: 0,
  stalls: false,
  ats: false,
  noAts: 'it is not attached',
  pri: false,
  priCredits: 0,
  pasidInResponses: false,
  iopf: false,
  sva: false,
  bonds: new Map(),
  untagged: null,
  refs: 1,
};

/** What absent hardware reads as. */
const ALL_ONES = 0xffffffff;

/** Page requests that one device may have outstanding, if the PRI queue has room for so many (PCI-9). */
const PRI_CREDITS = 32;

/** The devices under an SMMU, and which streams are theirs (IOPF-27). */
export class Masters extends AnyMasters<Master> {
  readonly smmu: Smmu;
  readonly state = { credits: 0 };

  constructor(smmu: Smmu) {
    super(smmu, 'smmuv3', BLANK);
    this.smmu = smmu;
    smmu.kernel.checkpoints.keep(this.state);
  }

  override allocMaster(device: Device): Master {
    const bonds = this.smmu.kernel.checkpoints.keepMap(new Map());
    return this.slab.alloc({ device, stalls: this.mayStall(device), bonds });
  }

  override describeStream(sid: number): string {
    this.smmu.streamTable.checkRange(sid);
    return `StreamID 0x${sid.toString(16)}`;
  }

  override reportAlias(sid: number, other: Master): void {
    const { trace } = this.smmu.kernel;
    if (trace.wants(smmuAlias)) trace.emit(smmuAlias, { smmu: this.smmu.name, sid, other: other.device.name });
  }

  /**
   * FEAT-5: firmware says so and the SMMU offers it, or the SMMU forces it (SMMU-12). Firmware's word counts for platform
   * devices only: what a PCI function sends must end within a time limit.
   */
  mayStall(device: Device): boolean {
    const { stall } = this.smmu.features;
    if (stall !== 'optional') return stall === 'forced';
    return device.config === null && device.property('dma-can-stall') === true;
  }

  /** Why the faults of a platform device cannot be handled, or '' (SMMU-13). */
  whyNoStall({ stalls, device }: Master): string {
    const { features, name } = this.smmu;
    if (features.stall === 'never') return `${name} stalls nothing (IDR0.STALL_MODEL is 1)`;
    if (!stalls) return `firmware does not say that ${device.name} may be stalled (dma-can-stall)`;
    const { length } = device.streams;
    return length === 1 ? '' : `${device.name} has ${length} StreamIDs, and only one can be told to go on`;
  }

  /** Why the device's page faults cannot be handled, or '' (SMMU-13). */
  whyNoFaults(master: Master): Coroutine<string> {
    return master.device.config === null ? this.noStall(master) : this.whyNoPri(master);
  }

  *noStall(master: Master): Coroutine<string> {
    return this.whyNoStall(master);
  }

  /** False for a PCI function that was pulled out: its configuration reads as ones, and nothing of it need be switched off. */
  *isPresent({ config }: Device): Coroutine<boolean> {
    return config === null || (yield* config.read32(0)) !== ALL_ONES;
  }

  /** Gives the device as many PASIDs as it and the SMMU can have. Before ATS is on (PCI-1). */
  *enablePasids(master: Master): Coroutine<void> {
    const { device } = master;
    const offered = yield* this.pasidBits(device);
    const bits = this.smmu.contexts.usableBits(Math.min(offered, this.smmu.features.ssidBits));
    if (bits > 0 && device.config !== null) yield* pci.enablePasid(device.config);
    master.pasidBits = bits;
  }

  /** Width of the PASIDs that a device can send: by its capability, or by firmware (0: none). */
  *pasidBits(device: Device): Coroutine<number> {
    if (device.config === null) return Number(device.property('pasid-num-bits') ?? 0);
    return yield* pci.pasidBits(device.config);
  }

  *disablePasids(master: Master): Coroutine<void> {
    const { device, pasidBits } = master;
    if (pasidBits > 0 && device.config !== null && (yield* this.isPresent(device)))
      yield* pci.disablePasid(device.config);
    master.pasidBits = 0;
  }

  /** Why the device cannot translate by itself, or '' (SMMU-27). */
  *whyNoAts(device: Device): Coroutine<string> {
    if (!this.smmu.features.ats) return `${this.smmu.name} has no ATS (IDR0.ATS is 0)`;
    if (device.config === null) return `${device.name} is no PCI function`;
    if (device.property('ats-supported') !== true) return `firmware does not say that the root complex supports ATS`;
    if (device.property('untrusted') === true) return `${device.name} is not trusted`;
    if (!(yield* pci.atsSupported(device.config))) return `${device.name} has no ATS capability`;
    return '';
  }

  /** Why the device's page requests cannot be taken, or '' (SMMU-13). */
  *whyNoPri(master: Master): Coroutine<string> {
    const { device } = master;
    if (!this.smmu.features.pri) return `${this.smmu.name} has no page request queue (IDR0.PRI is 0)`;
    if (master.noAts !== '') return `page requests need ATS: ${master.noAts}`;
    if (device.config === null || !(yield* pci.priSupported(device.config)))
      return `${device.name} has no PRI capability`;
    return '';
  }

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
    const given = givenCredits(this.smmu.core.settings);
    if (given > 0) return given;
    const left = this.smmu.pageRequests.queue.ring.entries - this.state.credits;
    if (left > 0) return Math.min(PRI_CREDITS, left);
    throw new IommuError('ENOSPC', `the page request queue of ${this.smmu.name} has no room for ${device.name}`, {
      rule: 'PCI-9',
      remedy: 'give the SMMU a longer PRI queue',
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
