import { type Device, type DmaDomain, type IommuDriver, PERM } from '@iommukit/core';
import type { DmaEngineDriver } from '@iommukit/dma-engine';
import { type Coroutine, IommuError, isIommuError } from '@iommukit/kernel';
import type { Machine } from '@iommukit/machine';
import { type Buffer, pageBytes } from './actor-memory.js';

/** Bytes of a frame. */
const FRAME = 4096;
/** The first address that buffers get in a DMA domain; a page that nothing is mapped at lies between two of them. */
const FIRST = 0x1000_0000n;

/** What a driver inside the kernel does with its device: a DMA domain, and memory that is mapped there. */
export class ActorDma {
  readonly machine: Machine;
  readonly device: Device;
  readonly driver: DmaEngineDriver;
  readonly iommu: IommuDriver;
  readonly domain: DmaDomain;
  /** It had its features before. */
  readonly sharing: boolean;
  /** What is mapped. */
  readonly buffers = new Set<Buffer>();
  next = FIRST;

  constructor(machine: Machine, driver: DmaEngineDriver, domain: DmaDomain, sharing: boolean) {
    const { device } = driver;
    this.machine = machine;
    this.device = device;
    this.driver = driver;
    this.iommu = machine.iommuOf.get(device.name)!;
    this.domain = domain;
    this.sharing = sharing;
  }

  /** Gives the device a DMA domain; it serves no processes until {@link detach} (FEAT-6). */
  static *attach(machine: Machine, driver: DmaEngineDriver): Coroutine<ActorDma> {
    const { device } = driver;
    const iommu = machine.iommuOf.get(device.name)!;
    const { sharing } = driver.state;
    yield* driver.disableFeatures();
    try {
      const domain = yield* iommu.allocDomain(device);
      const dma = new ActorDma(machine, driver, domain, sharing);
      try {
        yield* iommu.attach(device, domain);
        return dma;
      } catch (error) {
        yield* iommu.freeDomain(domain);
        throw error;
      }
    } catch (error) {
      if (sharing) yield* driver.enableFeatures();
      throw error;
    }
  }

  /** Gives back everything: what is mapped too, as a driver does when it is unloaded. */
  *detach(): Coroutine<void> {
    for (const buffer of this.buffers) yield* this.unmap(buffer);
    yield* this.iommu.detach(this.device);
    yield* this.iommu.freeDomain(this.domain);
    if (this.sharing) yield* this.restoreFeatures();
  }

  /** Memory that was short may be there now; without its features the device would be of no use to anybody. */
  *restoreFeatures(): Coroutine<void> {
    try {
      yield* this.driver.enableFeatures();
    } catch (error) {
      if (!isIommuError(error, 'ENOMEM')) throw error;
      yield* this.driver.enableFeatures();
    }
  }

  /** Takes zero-filled memory and maps it. */
  *map(pages: number): Coroutine<Buffer> {
    const { frames } = this.machine.bus;
    const page = pageBytes(this.machine.core);
    const order = orderOf(pages * page);
    const pa = frames.alloc(`${this.device.name} dma buffer`, order) * FRAME;
    const buffer: Buffer = { address: this.next, bytes: pages * page, pa };
    this.next += BigInt(buffer.bytes + page);
    try {
      yield* this.iommu.map(this.domain, buffer.address, pa, buffer.bytes, PERM.READ | PERM.WRITE);
    } catch (error) {
      frames.free(pa / FRAME, order);
      throw error;
    }
    this.buffers.add(buffer);
    return buffer;
  }

  /** Unmaps a buffer, and only then gives its memory back. @throws IommuError EINVAL for memory of a process */
  *unmap(buffer: Buffer): Coroutine<void> {
    const { address, bytes, pa } = buffer;
    if (pa === undefined) {
      throw new IommuError('EINVAL', 'the buffer belongs to a process', { remedy: 'unmap it with munmap' });
    }
    this.buffers.delete(buffer);
    yield* this.iommu.unmap(this.domain, address, bytes);
    this.machine.bus.frames.free(pa / FRAME, orderOf(bytes));
  }
}

/** log2 of the frames that hold so many bytes. */
const orderOf = (bytes: number): number => Math.ceil(Math.log2(bytes / FRAME));
