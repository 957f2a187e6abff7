import type { Device, Mm, MmuNotifierOps } from '@iommukit/core';
import { type Coroutine, IommuError, type Slab } from '@iommukit/kernel';
import * as pci from '@iommukit/pci-ats';
import type { Domain } from './dma-domains.js';
import type { ReferenceDriver } from './driver.js';
import type { Bond } from './sva.js';

/** What the driver knows of a device. */
export interface DeviceRecord {
  readonly device: Device;
  /** Width of its PASIDs; 0: it has none. */
  pasidBits: number;
  /** It may translate by itself, and ask for pages. */
  ats: boolean;
  pri: boolean;
  /** Answers to its page requests name the PASID (PCI-8). */
  pasidInAnswers: boolean;
  iopf: boolean;
  sva: boolean;
  readonly bonds: Map<Mm, Bond>;
  /** One listener for each address space (SVA-4). */
  readonly notifier: MmuNotifierOps;
  domain: Domain | null;
}

const PAGE_SHIFT = 12;
const STREAMS = 2 ** 32;
/** What absent hardware reads as. */
const ALL_ONES = 0xffffffff;

/** The devices under the IOMMU, by themselves and by stream. */
export class Devices {
  readonly driver: ReferenceDriver;
  readonly slab: Slab<DeviceRecord>;
  readonly byDevice: Map<Device, DeviceRecord>;
  readonly byStream: Map<number, DeviceRecord>;

  constructor(driver: ReferenceDriver) {
    const { kernel } = driver;
    this.driver = driver;
    this.slab = kernel.slab<DeviceRecord>('reference device', {
      device: null as unknown as Device,
      pasidBits: 0,
      ats: false,
      pri: false,
      pasidInAnswers: false,
      iopf: false,
      sva: false,
      bonds: new Map(),
      notifier: null as unknown as MmuNotifierOps,
      domain: null,
    });
    this.byDevice = kernel.checkpoints.keepMap(new Map());
    this.byStream = kernel.checkpoints.keepMap(new Map());
  }

  /** @throws IommuError ENODEV for a device that is not under this IOMMU */
  of(device: Device): DeviceRecord {
    const record = this.byDevice.get(device);
    if (record !== undefined) return record;
    throw new IommuError('ENODEV', `${device.name} is not under ${this.driver.name}`, { remedy: 'probe it first' });
  }

  /** Takes a device on, with all its streams or none (IOPF-27). @throws IommuError ERANGE, EINVAL, ENOMEM */
  *probe(device: Device): Coroutine<void> {
    for (const stream of device.streams) this.checkStream(device, stream);
    const bonds = this.driver.kernel.checkpoints.keepMap(new Map<Mm, Bond>());
    const record = this.slab.alloc({ device, bonds, notifier: this.driver.sva.notifierOps() });
    this.byDevice.set(device, record);
    for (const stream of device.streams) this.byStream.set(stream, record);
    try {
      yield* this.setUp(record);
    } catch (error) {
      yield* this.letGo(record);
      throw error;
    }
  }

  checkStream({ name }: Device, stream: number): void {
    if (!(stream >= 0 && stream < STREAMS))
      throw new IommuError('ERANGE', `stream ${stream} of ${name} has more than 32 bits`, { rule: 'IOPF-27' });
    const owner = this.byStream.get(stream);
    if (owner !== undefined)
      throw new IommuError('EINVAL', `stream ${stream} of ${name} is ${owner.device.name}'s`, { rule: 'IOPF-27' });
  }

  /** PASIDs first, then ATS (PCI-1); the IOMMU accepts ATS before the device uses it (PCI-4). */
  *setUp(record: DeviceRecord): Coroutine<void> {
    const { device } = record;
    const { config } = device;
    if (config === null) {
      record.pasidBits = Number(device.property('pasid-num-bits') ?? 0);
      return;
    }
    const bits = yield* pci.pasidBits(config);
    if (bits > 0) yield* pci.enablePasid(config);
    record.pasidBits = bits;
    if (!(yield* this.mayUseAts(device))) return;
    record.ats = true;
    record.pri = yield* pci.priSupported(config);
    record.pasidInAnswers = record.pri && (yield* pci.prgResponsePasidRequired(config));
    for (const stream of device.streams) yield* this.driver.model.table.allowAts(stream, true);
    yield* pci.enableAts(config, PAGE_SHIFT);
  }

  *mayUseAts(device: Device): Coroutine<boolean> {
    if (device.property('ats-supported') !== true) return false;
    return yield* pci.atsSupported(device.config!, { untrusted: device.property('untrusted') === true });
  }

  /** Lets a device go. @throws IommuError EBUSY while features are on (FEAT-2) */
  *release(device: Device): Coroutine<void> {
    const record = this.of(device);
    if (record.iopf || record.sva)
      throw new IommuError('EBUSY', `${device.name} has features enabled`, { rule: 'FEAT-2' });
    yield* this.driver.dmaDomains.leave(record);
    yield* this.letGo(record);
  }

  /** What {@link setUp} did, backwards. */
  *letGo(record: DeviceRecord): Coroutine<void> {
    const { device } = record;
    const { config } = device;
    if (config !== null && (yield* this.isPresent(device))) {
      if (record.ats && (yield* pci.atsEnabled(config))) yield* pci.disableAts(config);
      if (record.pasidBits > 0) yield* pci.disablePasid(config);
    }
    for (const stream of device.streams) {
      yield* this.driver.model.table.allowAts(stream, false);
      this.byStream.delete(stream);
    }
    this.byDevice.delete(device);
    this.slab.free(record);
  }

  /** False for a function that was pulled out. */
  *isPresent({ config }: Device): Coroutine<boolean> {
    return config !== null && (yield* config.read32(0)) !== ALL_ONES;
  }
}
