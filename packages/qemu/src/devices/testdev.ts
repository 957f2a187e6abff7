import { assert } from '@iommukit/kernel';
import type { Qemu } from '../qemu-machine.js';
import { deviceRegisters } from './find-device.js';
import {
  TESTDEV_DOORBELL,
  TESTDEV_ID,
  TESTDEV_IOVA_HI,
  TESTDEV_IOVA_LO,
  TESTDEV_LENGTH,
  TESTDEV_PA_HI,
  TESTDEV_PA_LO,
  TESTDEV_RESULT,
  TESTDEV_STATUS,
  TESTDEV_TRIGGER,
} from './testdev-registers.js';

/**
 * What became of a request.
 * - `done`: the pattern was written, and lies at the physical address where it was expected
 * - `elsewhere`: it was written, but does not lie there · `refused`: the write was refused
 */
export type TestdevOutcome = 'done' | 'elsewhere' | 'refused';

/** QEMU's `iommu-testdev` as a DMA engine: it writes a pattern, and tells whether that was refused. It cannot read. */
export interface Testdev {
  /** Its requester id. */
  readonly rid: number;
  /**
   * Writes `bytes` bytes (default 4) of 0x12345678, lowest byte first, at `iova`.
   * @param pa where they should come to lie; without it `done` means that something was written somewhere
   */
  write(iova: bigint, options?: { readonly bytes?: number; readonly pa?: number }): TestdevOutcome;
}

/** The `iommu-testdev` of a machine, the one at `rid` if it has several. @throws QemuError ABSENT */
export function testdev(qemu: Qemu, rid?: number): Testdev {
  return new TestdevEngine(qemu, rid);
}

class TestdevEngine implements Testdev {
  readonly qemu: Qemu;
  readonly rid: number;
  readonly base: number;

  constructor(qemu: Qemu, rid?: number) {
    const found = deviceRegisters(qemu, 'iommu-testdev', TESTDEV_ID, rid);
    this.qemu = qemu;
    this.rid = found.rid;
    this.base = found.registers.base;
  }

  write(iova: bigint, { bytes = 4, pa }: { readonly bytes?: number; readonly pa?: number } = {}): TestdevOutcome {
    assert(Number.isInteger(bytes) && bytes > 0 && bytes <= 65536, 'a request has 1 to 65536 bytes');
    const { base } = this;
    const looked = pa ?? this.qemu.spec.ram.base;
    const values = this.qemu.client
      .batch()
      .write(base + TESTDEV_IOVA_LO.offset, 4, Number(iova & 0xffffffffn))
      .write(base + TESTDEV_IOVA_HI.offset, 4, Number((iova >> 32n) & 0xffffffffn))
      .write(base + TESTDEV_PA_LO.offset, 4, looked % 2 ** 32)
      .write(base + TESTDEV_PA_HI.offset, 4, Math.floor(looked / 2 ** 32))
      .write(base + TESTDEV_LENGTH.offset, 4, bytes)
      .write(base + TESTDEV_DOORBELL.offset, 4, TESTDEV_DOORBELL.pack({ arm: 1 }))
      .read(base + TESTDEV_TRIGGER.offset, 4)
      .read(base + TESTDEV_STATUS.offset, 4)
      .run();
    const result = values[2]!;
    if (result === TESTDEV_RESULT.DONE) return 'done';
    if (result === TESTDEV_RESULT.MISMATCH || result === TESTDEV_RESULT.READ_FAILED) {
      return pa === undefined ? 'done' : 'elsewhere';
    }
    assert(result === TESTDEV_RESULT.WRITE_FAILED, `iommu-testdev's result is 0x${result.toString(16)}`);
    return 'refused';
  }
}
