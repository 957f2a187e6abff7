import type { Device } from '@iommukit/core';
import { type Coroutine, IommuError, type Slab } from '@iommukit/kernel';
import * as pci from '@iommukit/pci-ats';
import { DomainNotifier } from './domain-notifier.js';
import { mergeTargets, purgeTargets, TARGET, type TargetKey, unrefTargets } from './invalidation-targets.js';
import type { ContextTable, Domain, Master } from './records.js';
import type { Smmu } from './smmu.js';
import { abortStream, stageOneStream } from './stream-entries.js';

/** log2 of the SMMU's smallest page: the smallest translation unit of devices. */
const PAGE_SHIFT = 12;

/**
 * Devices and the tables of context descriptors that they share. A device is at home in a domain of its own, which
 * terminates requests without PASID (S1DSS): nothing but bound address spaces can be reached there (SMMU-28).
 */
export class Domains {
  readonly smmu: Smmu;
  readonly slab: Slab<Domain>;
  readonly state = { made: 0 };

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    this.slab = smmu.kernel.slab<Domain>('smmuv3 domain', {
      name: '',
      masters: [],
      targets: [],
      contexts: null as unknown as ContextTable,
      stalls: false,
      notifier: null as unknown as DomainNotifier,
      untaggedNotifier: null as unknown as DomainNotifier,
      own: null,
      shared: false,
    });
    smmu.kernel.checkpoints.keep(this.state);
  }

  /** A domain without devices, for those of `master`'s kind: its PASID width, and whether it stalls (FEAT-7). */
  *create(master: Master): Coroutine<Domain> {
    const { kernel, contexts, sva } = this.smmu;
    const table = yield* contexts.create(master.pasidBits);
    try {
      const domain = this.slab.alloc({
        name: `domain ${this.state.made + 1}`,
        masters: kernel.checkpoints.keepList([]),
        targets: kernel.checkpoints.keepList([]),
        contexts: table,
        stalls: master.stalls,
        notifier: new DomainNotifier(sva),
        untaggedNotifier: new DomainNotifier(sva),
      });
      this.state.made++;
      return domain;
    } catch (error) {
      yield* contexts.destroy(table);
      throw error;
    }
  }

  /** Frees a domain that no device is attached to. No notifier names it: SVA was disabled before (MN-5, SVA-17). */
  *destroy(domain: Domain): Coroutine<void> {
    yield* this.smmu.contexts.destroy(domain.contexts);
    this.slab.free(domain);
  }

  // ── homes ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Makes a device's own domain and takes it there, if it has PASIDs at all; otherwise everything stays aborted. */
  *settle(master: Master): Coroutine<void> {
    const { features, name } = this.smmu;
    if (master.pasidBits === 0) {
      const lacking = features.ssidBits === 0 ? `${name} takes no PASIDs (IDR1.SSIDSIZE is 0)` : 'it has no PASIDs';
      master.noAts = `${lacking}, so it is not attached`;
      return;
    }
    master.home = yield* this.create(master);
    yield* this.attach(master, master.home);
  }

  /** Takes a device home, out of whatever domain it is in; without a home it is in none, and aborted. */
  *goHome(master: Master): Coroutine<void> {
    this.checkFree(master);
    if (master.domain === master.home && master.home !== null) return;
    if (master.home === null) yield* this.detach(master);
    else yield* this.attach(master, master.home);
  }

  /** The device goes: it leaves its domain, and nobody needs its own any more. */
  *leaveAll(master: Master): Coroutine<void> {
    yield* this.detach(master);
    const { home } = master;
    master.home = null;
    if (home !== null) yield* this.destroy(home);
  }

  // ── requests without PASID that reach a process ────────────────────────────────────────────────────────────────

  /** A device's home, made if it has none yet: one without PASIDs is in no domain otherwise. */
  *needHome(master: Master): Coroutine<Domain> {
    master.home ??= yield* this.create(master);
    return master.home;
  }

  /** Descriptor 0 is in place: requests without PASID use it from now on (S1DSS). */
  *open(master: Master, home: Domain): Coroutine<void> {
    home.shared = true;
    if (master.domain === null) yield* this.attach(master, home);
    else yield* this.writeStreams(master);
  }

  /** Before descriptor 0 goes: they are terminated again, and all else of a device without PASIDs is aborted. */
  *close(master: Master, home: Domain): Coroutine<void> {
    home.shared = false;
    if (master.pasidBits === 0) yield* this.detach(master);
    else if (master.domain !== null) yield* this.writeStreams(master);
  }

  /** A device without PASIDs needs its home no longer; first the notifiers that name it are through (MN-5). */
  *dropHome(master: Master): Coroutine<void> {
    const { home, pasidBits, untagged } = master;
    if (home === null || pasidBits > 0 || untagged !== null) return;
    yield* this.smmu.core.notifiers.synchronize();
    master.home = null;
    yield* this.destroy(home);
  }

  // ── attach and detach ──────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Sends a device's transactions through a domain's descriptors; when that fails, they are aborted.
   * @throws IommuError EBUSY while the device's features are on (FEAT-6), EINVAL when the domain does not fit the device
   */
  *attach(master: Master, domain: Domain): Coroutine<void> {
    this.checkAttach(master, domain);
    yield* this.detach(master);
    master.domain = domain;
    try {
      yield* this.prepareAts(master);
      this.join(master, domain);
      yield* this.writeStreams(master);
      yield* this.enableAts(master);
    } catch (error) {
      yield* this.detach(master);
      throw error;
    }
  }

  /** Aborts a device's transactions from now on. */
  *detach(master: Master): Coroutine<void> {
    const { domain } = master;
    if (domain === null) return;
    this.checkFree(master);
    yield* this.disableAts(master);
    this.leave(master, domain);
    this.forgetAts(master);
    master.domain = null;
  }

  checkAttach(master: Master, domain: Domain): void {
    this.checkFree(master);
    this.checkWidth(master, domain);
    this.checkStalls(master, domain);
  }

  /** FEAT-6; and ATS cannot be switched off under page requests (PCI-5). */
  checkFree(master: Master): void {
    const { name } = master.device;
    if (master.sva) throw busy(`SVA is enabled on ${name}: it stays in its domain`, 'FEAT-6', 'disable SVA first');
    if (master.priCredits > 0) {
      throw busy(`${name} may send page requests: it stays in its domain`, 'PCI-5', 'disable iopf first');
    }
  }

  checkWidth({ device, pasidBits }: Master, { contexts }: Domain): void {
    if (contexts.bits <= pasidBits) return;
    throw misfit(`${device.name} has ${pasidBits} bits of PASID, the domain ${contexts.bits}`, 'SMMU-28');
  }

  checkStalls(master: Master, domain: Domain): void {
    if (master.stalls === domain.stalls) return;
    const kind = (stalls: boolean): string => (stalls ? 'may stall' : 'cannot stall');
    const reason = `${master.device.name} ${kind(master.stalls)}, devices of the domain ${kind(domain.stalls)}`;
    throw misfit(reason, 'FEAT-7');
  }

  /** SMMU-26: invalidations reach the device before its entries point to the domain. */
  join(master: Master, domain: Domain): void {
    domain.masters.push(master);
    domain.targets = mergeTargets(domain.targets, this.targetsOf(master));
  }

  /** SMMU-26: and until they no longer do. Whoever walks the old list meanwhile skips the device. */
  leave(master: Master, domain: Domain): void {
    const at = domain.masters.indexOf(master);
    if (at < 0) return;
    domain.masters.splice(at, 1);
    unrefTargets(domain.targets, this.targetsOf(master));
    domain.targets = purgeTargets(domain.targets);
  }

  /** What has to be invalidated for an attached device, beside the ASIDs: its cache, if it has one. */
  targetsOf({ ats, device }: Master): TargetKey[] {
    return ats ? device.streams.map((id) => ({ type: TARGET.ATS, id, ssid: 0 })) : [];
  }

  // ── ATS ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Finds out whether the device translates by itself, and sets it up for that (PCI-4). */
  *prepareAts(master: Master): Coroutine<void> {
    const { masters } = this.smmu;
    const { device } = master;
    master.noAts = yield* masters.whyNoAts(device);
    if (master.noAts !== '') return;
    master.pri = (yield* masters.whyNoPri(master)) === '';
    master.pasidInResponses = master.pri && (yield* pci.prgResponsePasidRequired(device.config!));
    yield* pci.prepareAts(device.config!, PAGE_SHIFT);
    master.ats = true;
  }

  /** SMMU-27: the SMMU accepts ATS by now, and the device starts with an empty cache. */
  *enableAts(master: Master): Coroutine<void> {
    if (!master.ats) return;
    yield* this.smmu.invalidation.atcDevice(master);
    yield* pci.enableAts(master.device.config!, PAGE_SHIFT);
  }

  /** SMMU-27, PCI-5: the device stops first; what it still holds is dropped last. */
  *disableAts(master: Master): Coroutine<void> {
    const { ats, device } = master;
    if (ats && (yield* this.hasAtsOn(device))) yield* pci.disableAts(device.config!);
    yield* this.abortStreams(master);
    if (ats) yield* this.smmu.invalidation.atcDevice(master);
  }

  /** Not of a device that was pulled out. */
  *hasAtsOn(device: Device): Coroutine<boolean> {
    return (yield* this.smmu.masters.isPresent(device)) && (yield* pci.atsEnabled(device.config!));
  }

  forgetAts(master: Master): void {
    master.ats = false;
    master.pri = false;
    master.noAts = 'it is not attached';
  }

  // ── entries ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The entries of an attached device. */
  *writeStreams(master: Master): Coroutine<void> {
    const { contexts, own, shared } = master.domain!;
    const image = stageOneStream({
      contexts: contexts.pa,
      contextBits: contexts.bits,
      twoLevel: contexts.twoLevel,
      leafBits: contexts.leafBits,
      withoutPasid: own === null && !shared ? 'terminate' : 'ssid0',
      ats: master.ats,
      noStall: this.smmu.features.stall === 'optional' && !master.stalls,
      pasidInResponses: master.pasidInResponses,
      el2: this.atEl2(),
    });
    for (const sid of master.device.streams) yield* this.smmu.streamTable.write(sid, image);
  }

  /** SMMU-14: with a kernel at EL2 the streams are in its world, or its TLB maintenance would miss them (TLB-9). */
  atEl2(): boolean {
    return this.smmu.el2;
  }

  *abortStreams(master: Master): Coroutine<void> {
    for (const sid of master.device.streams) yield* this.smmu.streamTable.write(sid, abortStream());
    if (master.stalls) yield* this.smmu.events.terminateStalls(master);
  }
}

function busy(reason: string, rule: string, remedy: string): IommuError {
  return new IommuError('EBUSY', reason, { rule, remedy });
}

function misfit(reason: string, rule: string): IommuError {
  return new IommuError('EINVAL', reason, { rule, remedy: 'attach it to a domain that was made for it' });
}
