import { type Coroutine, IommuError, type Slab } from '@iommukit/kernel';
import * as pci from '@iommukit/pci-ats';
import { DomainNotifier } from './domain-notifier.js';
import type { ContextTable, Domain, Master } from './records.js';
import type { Smmu } from './smmu.js';
import { abortStream, stageOneStream } from './stream-entries.js';

/** log2 of the SMMU's smallest page: the smallest translation unit of devices. */
const PAGE_SHIFT = 12;

/**
 * Devices and the tables of context descriptors that they share. Requests without PASID are terminated (S1DSS): nothing
 * but bound address spaces can be reached (SMMU-28).
 */
export class Domains {
  readonly smmu: Smmu;
  readonly slab: Slab<Domain>;

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    this.slab = smmu.kernel.slab<Domain>('smmuv3 domain', {
      masters: [],
      contexts: null as unknown as ContextTable,
      notifier: null as unknown as DomainNotifier,
    });
  }

  /** A domain without devices, for PASIDs of `bits` bits. */
  *create(bits: number): Coroutine<Domain> {
    const { kernel, contexts, sva } = this.smmu;
    const table = yield* contexts.create(bits);
    try {
      return this.slab.alloc({
        masters: kernel.checkpoints.keepList([]),
        contexts: table,
        notifier: new DomainNotifier(sva),
      });
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

  /**
   * Sends a device's transactions through a domain's descriptors.
   * @throws IommuError EBUSY while the device's SVA feature is on (FEAT-6), EINVAL when the domain does not fit the device
   */
  *attach(master: Master, domain: Domain): Coroutine<void> {
    this.checkAttach(master, domain);
    if (master.domain !== null) yield* this.detach(master);
    // SMMU-26: invalidations reach the device before its entries point to the domain, and until they no longer do.
    domain.masters.push(master);
    master.domain = domain;
    yield* this.enableAts(master);
  }

  /** Aborts a device's transactions from now on. */
  *detach(master: Master): Coroutine<void> {
    const { domain } = master;
    if (domain === null) return;
    if (master.sva) throw attachedWhileSva(master);
    yield* this.disableAts(master);
    domain.masters.splice(domain.masters.indexOf(master), 1);
    master.domain = null;
  }

  checkAttach(master: Master, domain: Domain): void {
    const { name } = master.device;
    if (master.sva) throw attachedWhileSva(master);
    if (domain.contexts.bits > master.ssidBits) {
      throw new IommuError(
        'EINVAL',
        `${name} has ${master.ssidBits} bits of PASID, the domain ${domain.contexts.bits}`,
        {
          rule: 'SMMU-28',
          remedy: 'attach it to a domain of its own',
        },
      );
    }
    if (domain.masters.some((other) => other.stalls !== master.stalls)) {
      throw new IommuError('EINVAL', `${name} and the domain's other devices differ in whether they stall`, {
        rule: 'FEAT-7',
        remedy: 'attach it to a domain of its own',
      });
    }
  }

  /** SMMU-27, PCI-4: the SMMU accepts ATS first, and the device starts with an empty cache. */
  *enableAts(master: Master): Coroutine<void> {
    const { masters, invalidation } = this.smmu;
    const { device } = master;
    master.noAts = yield* masters.whyNoAts(device);
    if (master.noAts !== '') return yield* this.writeStreams(master);
    master.pri = (yield* masters.whyNoPri(master)) === '';
    master.pasidInResponses = master.pri && (yield* pci.prgResponsePasidRequired(device.config!));
    yield* pci.prepareAts(device.config!, PAGE_SHIFT);
    master.ats = true;
    yield* this.writeStreams(master);
    yield* invalidation.atcDevice(master);
    yield* pci.enableAts(device.config!, PAGE_SHIFT);
  }

  /** SMMU-27, PCI-5: the device stops first; what it still holds is dropped last. */
  *disableAts(master: Master): Coroutine<void> {
    const { ats } = master;
    if (ats && (yield* pci.atsEnabled(master.device.config!))) yield* pci.disableAts(master.device.config!);
    yield* this.abortStreams(master);
    if (ats) yield* this.smmu.invalidation.atcDevice(master);
    master.ats = false;
    master.pri = false;
    master.noAts = 'it is not attached';
  }

  /** The entries of an attached device. */
  *writeStreams(master: Master): Coroutine<void> {
    const { contexts } = master.domain!;
    const image = stageOneStream({
      contexts: contexts.pa,
      contextBits: contexts.bits,
      twoLevel: contexts.twoLevel,
      withoutPasid: 'terminate',
      ats: master.ats,
      noStall: this.smmu.features.stall === 'optional' && !master.stalls,
      pasidInResponses: master.pasidInResponses,
    });
    for (const sid of master.device.streams) yield* this.smmu.streamTable.write(sid, image);
  }

  *abortStreams(master: Master): Coroutine<void> {
    for (const sid of master.device.streams) yield* this.smmu.streamTable.write(sid, abortStream());
  }
}

function attachedWhileSva(master: Master): IommuError {
  return new IommuError('EBUSY', `SVA is enabled on ${master.device.name}: it stays in its domain`, {
    rule: 'FEAT-6',
    remedy: 'disable SVA first',
  });
}
