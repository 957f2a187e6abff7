import { supervisorPasids } from '@iommukit/core';
import type { DmaEngineDriver } from '@iommukit/dma-engine';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import type { Machine } from '@iommukit/machine';
import type { Buffer } from './actor-memory.js';

/** Bytes of a frame. */
const FRAME = 4096;

/** What a driver inside the kernel does with its device by the kernel's own addresses (SVA-20). */
export class ActorSupervisor {
  readonly machine: Machine;
  readonly driver: DmaEngineDriver;
  /** What was given to the device, and not taken back. */
  readonly buffers = new Set<Buffer>();

  constructor(machine: Machine, driver: DmaEngineDriver) {
    this.machine = machine;
    this.driver = driver;
  }

  /** Takes zero-filled memory: in the 1:1 map, or mapped page by page outside of it. */
  *map(pages: number, outside: boolean): Coroutine<Buffer> {
    const buffer = outside ? yield* this.pieces(pages) : yield* this.direct(pages);
    this.buffers.add(buffer);
    return buffer;
  }

  *direct(pages: number): Coroutine<Buffer> {
    const { frames } = this.machine.bus;
    const bytes = pages * FRAME;
    const pa = frames.alloc(`${this.driver.device.name} kernel buffer`, orderOf(bytes)) * FRAME;
    try {
      return { address: yield* this.driver.mapSupervisor(pa, bytes), bytes, pa };
    } catch (error) {
      frames.free(pa / FRAME, orderOf(bytes));
      throw error;
    }
  }

  *pieces(pages: number): Coroutine<Buffer> {
    const address = yield* supervisorPasids(this.driver.iommu)!.allocPieces(pages);
    return { address, bytes: pages * FRAME };
  }

  /** Takes a buffer back from the device, and only then gives its memory back. @throws IommuError EINVAL for memory of a process */
  *unmap(buffer: Buffer): Coroutine<void> {
    const { address, bytes, pa } = buffer;
    if (!this.buffers.delete(buffer)) {
      throw new IommuError('EINVAL', 'the buffer belongs to a process', { remedy: 'unmap it with munmap' });
    }
    // What lies outside the 1:1 map was never the device's.
    if (pa === undefined) return yield* supervisorPasids(this.driver.iommu)!.freePieces(address, bytes / FRAME);
    yield* this.driver.unmapSupervisor(address, bytes);
    this.machine.bus.frames.free(pa / FRAME, orderOf(bytes));
  }

  /** Gives back everything, as a driver does when it is unloaded. The device works on none of it. */
  *release(): Coroutine<void> {
    for (const buffer of this.buffers) yield* this.unmap(buffer);
  }
}

/** log2 of the frames that hold so many bytes. */
const orderOf = (bytes: number): number => Math.ceil(Math.log2(bytes / FRAME));
