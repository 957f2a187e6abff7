import {
  type Coroutine,
  type Footprint,
  IommuError,
  type Kernel,
  Mutex,
  PREEMPT,
  type Slab,
  type Step,
} from '@iommukit/kernel';
import type { Device } from './device.js';

/** What an IOMMU's driver knows of a device under it, as far as every driver does. */
export interface AnyMaster {
  readonly device: Device;
  /** Its own reference, and one for each interrupt thread that has looked it up by a stream (IOPF-26). */
  refs: number;
}

/** A driver's services that its masters use. */
export interface MasterServices {
  readonly kernel: Kernel;
  /** Names the IOMMU in errors. */
  readonly name: string;
}

/** The devices under an IOMMU, and which streams (requester ids) are theirs (IOPF-27). */
export abstract class Masters<Master extends AnyMaster> {
  readonly services: MasterServices;
  readonly slab: Slab<Master>;
  /** Held while somebody works with a device that was found by its stream, and while devices come and go (IOPF-26). */
  readonly lock: Mutex;
  /** Which device a stream belongs to. */
  readonly footprint: Footprint;
  readonly byStream = new Map<number, Master>();
  readonly byDevice = new Map<Device, Master>();

  /** `driver` names slab and lock: `smmuv3`. `blank`: a master before anything is known of it. */
  constructor(services: MasterServices, driver: string, blank: Master) {
    const { kernel } = services;
    this.services = services;
    this.slab = kernel.slab<Master>(`${driver} master`, blank);
    this.lock = new Mutex(kernel, `${driver} streams`);
    this.footprint = kernel.footprint();
    kernel.checkpoints.keepMap(this.byStream);
    kernel.checkpoints.keepMap(this.byDevice);
  }

  /** A device's record, of which nothing is known but what the driver sees at once. */
  abstract allocMaster(device: Device): Master;
  /** A stream as people write it: `StreamID 0x18`. @throws IommuError ERANGE for one that is out of range */
  abstract describeStream(sid: number): string;
  /** Tells that a second device claims a stream. */
  abstract reportAlias(sid: number, other: Master): void;

  // ── who is who ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** The device of a stream, or null. Its caller holds {@link lock}. */
  find(sid: number): Master | null {
    return this.byStream.get(sid) ?? null;
  }

  /** Nobody releases a device between here and {@link unlockStreams} (IOPF-26). */
  lockStreams(): Step<Mutex | null> {
    return this.lock.acquire();
  }

  unlockStreams(lock: Mutex | null): void {
    lock?.release();
  }

  /** The device of a stream with a reference, which {@link putLookup} drops, or null. */
  lookUp(sid: number): Step<Master | null> {
    const { kernel } = this.services;
    const master = this.find(sid);
    return kernel.at(this.footprint, false) ? this.getLater(master) : kernel.done(this.getLookup(master));
  }

  *getLater(master: Master | null): Coroutine<Master | null> {
    yield PREEMPT;
    return this.getLookup(master);
  }

  getLookup(master: Master | null): Master | null {
    if (master !== null) master.refs++;
    return master;
  }

  putLookup(master: Master | null): void {
    if (master !== null) this.putMaster(master);
  }

  putMaster(master: Master): void {
    if (--master.refs === 0) this.slab.free(master);
  }

  /** @throws IommuError ENODEV for a device that is not under this IOMMU */
  of(device: Device): Master {
    const master = this.byDevice.get(device);
    if (master !== undefined) return master;
    throw new IommuError('ENODEV', `${device.name} is not under ${this.services.name}`, { remedy: 'probe it first' });
  }

  // ── coming and going ───────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Adds a device and its streams.
   * @throws IommuError ERANGE for a stream out of range, EINVAL for one that is taken
   */
  *add(device: Device): Coroutine<Master> {
    const lock = yield* this.lock.acquire();
    try {
      const master = this.allocMaster(device);
      try {
        this.insertStreams(master);
      } catch (error) {
        this.slab.free(master);
        throw error;
      }
      this.byDevice.set(device, master);
      return master;
    } finally {
      lock.release();
    }
  }

  /** Takes a device out. Nobody finds it by its streams any more, and nobody is at work with it. */
  *remove(master: Master): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    this.removeStreams(master, master.device.streams.length);
    this.byDevice.delete(master.device);
    lock.release();
    this.putMaster(master);
  }

  /** All streams, or none (IOPF-27). */
  insertStreams(master: Master): void {
    const { streams } = master.device;
    for (let i = 0; i < streams.length; i++) {
      try {
        this.insertStream(master, streams[i]!);
      } catch (error) {
        this.removeStreams(master, i);
        throw error;
      }
    }
  }

  insertStream(master: Master, sid: number): void {
    const id = this.describeStream(sid);
    const other = this.byStream.get(sid);
    if (other !== undefined) {
      const owner = other === master ? 'it already' : other.device.name;
      if (other !== master) this.reportAlias(sid, other);
      throw new IommuError('EINVAL', `${id} of ${master.device.name} belongs to ${owner}`, {
        rule: 'IOPF-27',
        remedy: "correct the devices' stream numbers in the platform description",
      });
    }
    this.byStream.set(sid, master);
  }

  /** Takes the first `count` streams of a device out again: those that were inserted, and no others (IOPF-27). */
  removeStreams(master: Master, count: number): void {
    for (const sid of master.device.streams.slice(0, count)) this.byStream.delete(sid);
    this.services.kernel.touch(this.footprint, true);
  }
}
