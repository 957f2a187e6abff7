import {
  EDU_BUFFER,
  EDU_COMMAND,
  EDU_COUNT,
  EDU_DESTINATION,
  EDU_ID,
  EDU_INTERRUPT_ACKNOWLEDGE,
  EDU_SOURCE,
  EDU_TRANSFER_NS,
} from '@iommukit/dma-engine';
import { QemuError } from '../errors.js';
import type { Qemu } from '../qemu-machine.js';
import { deviceRegisters } from './find-device.js';

/** Looks at the command register where the clock cannot be stepped, before the device counts as stuck. */
const LOOKS = 100_000;

/**
 * QEMU's `edu` as a DMA engine: it moves bytes between the bus and its buffer of 4096 bytes, which nothing else can see. It
 * does not report errors: a refused read leaves zeros in the buffer, a refused write is lost.
 */
export interface Edu {
  /** Its requester id. */
  readonly rid: number;
  /** Reads `bytes` bytes (1 to 4096) at `iova` into the buffer. */
  load(iova: bigint, bytes: number): void;
  /** Writes the first `bytes` bytes of the buffer to `iova`. */
  store(iova: bigint, bytes: number): void;
  /** Copies `bytes` bytes through the buffer. */
  copy(from: bigint, to: bigint, bytes: number): void;
}

/** The `edu` of a machine, the one at `rid` if it has several. @throws QemuError ABSENT */
export function edu(qemu: Qemu, rid?: number): Edu {
  return new EduEngine(qemu, rid);
}

class EduEngine implements Edu {
  readonly qemu: Qemu;
  readonly rid: number;
  readonly base: number;

  constructor(qemu: Qemu, rid?: number) {
    const found = deviceRegisters(qemu, 'edu', EDU_ID, rid);
    this.qemu = qemu;
    this.rid = found.rid;
    this.base = found.registers.base;
  }

  load(iova: bigint, bytes: number): void {
    this.transfer(iova, bytes, false);
  }

  store(iova: bigint, bytes: number): void {
    this.transfer(iova, bytes, true);
  }

  copy(from: bigint, to: bigint, bytes: number): void {
    this.load(from, bytes);
    this.store(to, bytes);
  }

  transfer(iova: bigint, bytes: number, toBus: boolean): void {
    if (!Number.isInteger(bytes) || bytes < 1 || bytes > EDU_BUFFER.bytes) {
      throw new QemuError('ABSENT', `edu cannot move ${bytes} bytes`, {
        remedy: `move 1 to ${EDU_BUFFER.bytes} bytes: it has no more room, and more ends QEMU`,
      });
    }
    const { base } = this;
    const batch = this.qemu.client.batch();
    const [bus, buffer] = toBus ? [EDU_DESTINATION, EDU_SOURCE] : [EDU_SOURCE, EDU_DESTINATION];
    batch.write(base + bus.offset, 8, Number(iova & 0xffffffffn), Number((iova >> 32n) & 0xffffffffn));
    batch.write(base + buffer.offset, 8, EDU_BUFFER.base);
    batch.write(base + EDU_COUNT.offset, 8, bytes);
    batch.write(base + EDU_COMMAND.offset, 4, EDU_COMMAND.pack({ start: 1, toBus: toBus ? 1 : 0 }));
    if (this.qemu.steps) batch.clockStep(EDU_TRANSFER_NS);
    batch.run();
    this.finish();
  }

  /** The transfer has ended when the start bit reads 0. */
  finish(): void {
    for (let look = 0; look < LOOKS; look++) {
      const word = this.qemu.client.read(this.base + EDU_COMMAND.offset, 4);
      if (EDU_COMMAND.unpack(word).start === 0) return;
    }
    throw new QemuError('HUNG', "edu's transfer does not end");
  }

  /** Clears its interrupt. */
  acknowledge(): void {
    this.qemu.client.write(this.base + EDU_INTERRUPT_ACKNOWLEDGE.offset, 4, 0xffffffff);
  }
}
