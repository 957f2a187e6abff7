import type { Core, Device, IommuDriver, OpenFile } from '@iommukit/core';
import { type Coroutine, IommuError, type Step, type Task } from '@iommukit/kernel';
import { DmaEngineDriver } from './driver.js';
import {
  EDU_BUFFER,
  EDU_COMMAND,
  EDU_COUNT,
  EDU_DESTINATION,
  EDU_IDENTIFICATION,
  EDU_NAME,
  EDU_SOURCE,
} from './edu-registers.js';
import { contextOf } from './engine-file.js';
import type { Job } from './job.js';
import { high, low } from './job-registers.js';

/** A transfer that takes longer than this (virtual ns) is a device that hangs. QEMU's takes 100 ms. */
const TRANSFER_LIMIT_NS = 10e9;

/**
 * The driver of QEMU's `edu`, which takes the engine's copy jobs: through the device's buffer, a page at a time. The device
 * has no PASIDs, and tells nobody that an access was refused: a read leaves zeros in the buffer, a write is lost, and the
 * job ends as done.
 */
export class EduDriver extends DmaEngineDriver {
  /** Moves the pieces of a job, one after the other. */
  readonly worker: Task;
  readonly asked = { stop: false };

  constructor(device: Device, iommu: IommuDriver, core: Core) {
    super(device, iommu, core);
    this.worker = core.kernel.daemon(`${device.name} worker`, () => this.work());
    core.kernel.checkpoints.keep(this.asked);
  }

  // ── features: it has none ──────────────────────────────────────────────────────────────────────────────────────

  override *probe(): Coroutine<void> {
    yield* this.identify();
    yield* this.setBusMaster(true);
    this.state.refusal = 'it sends no PASIDs';
  }

  override *identify(): Coroutine<void> {
    const word = yield* this.registers.read32(EDU_IDENTIFICATION.offset);
    if (EDU_IDENTIFICATION.f.name.of(word) === EDU_NAME) return;
    throw new IommuError('ENODEV', `${this.device.name} is no edu: its identification reads 0x${word.toString(16)}`);
  }

  override *enableFeatures(): Coroutine<void> {}

  // ── jobs ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @throws IommuError EINVAL for what the device cannot do, and as the engine's */
  override *submitWith(file: OpenFile, job: Job, pasid: number): Coroutine<void> {
    this.checkPossible(job);
    yield* super.submitWith(file, job, pasid);
  }

  checkPossible({ op, prefetch }: Job): void {
    const reason = op !== 'copy' ? `cannot ${op}` : prefetch > 0 ? 'asks for no pages' : '';
    if (reason === '') return;
    throw new IommuError('EINVAL', `${this.device.name} ${reason}: it is an edu`, {
      remedy: 'give it copy jobs without prefetch',
    });
  }

  override *program(): Coroutine<void> {
    this.asked.stop = false;
  }

  override start(): Step<void> {
    const { kernel } = this.core;
    kernel.kick(this.worker);
    return kernel.done(undefined);
  }

  /** Runs the job of the file that has the device. */
  *work(): Coroutine<void> {
    const { owner } = this.state;
    if (owner === null) return;
    const job = contextOf(owner).job!;
    do {
      for (let done = 0; done < job.bytes && !this.asked.stop; done += EDU_BUFFER.bytes) {
        yield* this.movePiece(job, done, Math.min(EDU_BUFFER.bytes, job.bytes - done));
      }
    } while (job.endless === true && !this.asked.stop);
    this.finish({ status: this.asked.stop ? 'stopped' : 'done', sum: 0 });
  }

  *movePiece({ source, destination }: Job, at: number, bytes: number): Coroutine<void> {
    yield* this.transfer(source + BigInt(at), bytes, false);
    yield* this.transfer(destination + BigInt(at), bytes, true);
  }

  /** One transfer between the bus and the buffer. @throws IommuError ETIMEDOUT */
  *transfer(address: bigint, bytes: number, toBus: boolean): Coroutine<void> {
    const { registers } = this;
    const [bus, buffer] = toBus ? [EDU_DESTINATION, EDU_SOURCE] : [EDU_SOURCE, EDU_DESTINATION];
    yield* registers.write64(bus.offset, low(address), high(address));
    yield* registers.write64(buffer.offset, EDU_BUFFER.base, 0);
    yield* registers.write64(EDU_COUNT.offset, bytes, 0);
    yield* registers.write32(EDU_COMMAND.offset, EDU_COMMAND.pack({ start: 1, toBus: toBus ? 1 : 0 }));
    yield* registers.until32(EDU_COMMAND.offset, (word) => EDU_COMMAND.f.start.of(word) === 0, TRANSFER_LIMIT_NS);
  }

  /** The piece under way ends; no other follows. */
  override *stopQueue(_pasid: number): Coroutine<void> {
    if (this.state.owner === null) return;
    this.asked.stop = true;
    yield* this.idle.wait(() => this.state.owner === null || !this.asked.stop);
  }
}
