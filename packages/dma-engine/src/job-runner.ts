import { type Coroutine, LINE, type Step } from '@iommukit/kernel';
import type { Engine } from './engine.js';
import { JOB_STATUS, OPCODE, RESULT } from './registers.js';
import { REFUSED } from './untranslated-port.js';
import { advance, type Cursor, PAGE, type Work } from './work.js';

/** Addresses end here (as a page number). */
const LAST_PAGE = 2 ** 52 - 1;

/** Runs jobs page by page: the part of a source page that meets a part of a destination page is one message. */
export class JobRunner {
  readonly engine: Engine;
  /** A page of the last pattern. */
  pattern = new Uint32Array(PAGE / 4);

  /** Runs the jobs of one engine. */
  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** Runs a job to its end. @returns its {@link JOB_STATUS} */
  run(work: Work): Coroutine<number> {
    return work.endless ? this.rounds(work) : this.round(work);
  }

  *rounds(work: Work): Coroutine<number> {
    for (;;) {
      const status = yield* this.round(copyOf(work));
      if (!this.goesOn(status)) return status;
      yield* this.pause();
    }
  }

  /** An endless job: also a page that was refused does not end it. */
  goesOn(status: number): boolean {
    return status === JOB_STATUS.DONE || status === JOB_STATUS.CANCELLED;
  }

  /** Lets time pass, so that also those get a turn that run only when nothing else does; a PASID stop cuts it short. */
  *pause(): Coroutine<void> {
    const { kernel, capabilities } = this.engine;
    const { pauseNs } = capabilities;
    if (pauseNs === 0) return;
    const { task } = this.engine;
    let over = false;
    const timer = kernel.clock.after(pauseNs, () => {
      over = true;
      kernel.wake(task);
    });
    while (!over && !this.isStopped()) yield* kernel.park('the next round of an endless job');
    kernel.clock.cancel(timer);
  }

  /** True if the job's PASID is being stopped. */
  isStopped(): boolean {
    const { work } = this.engine.state;
    return work === null || this.engine.isStopping(work.pasid);
  }

  /** True for an eager job that asks again although the IOMMU knows nothing of its PASID, `failures` tries ago. */
  *triesAgain(failures: number): Coroutine<boolean> {
    const { capabilities, state } = this.engine;
    if (state.work?.eager !== true || failures >= capabilities.eagerTries * 2) return false;
    if (failures >= capabilities.eagerTries) yield* this.pause();
    return true;
  }

  /** Does what the job says, once. @returns its {@link JOB_STATUS} */
  *round(work: Work): Coroutine<number> {
    if (!this.isValid(work)) return JOB_STATUS.INVALID_JOB;
    let sum = 0;
    while (work.bytes > 0) {
      const refusal = yield* this.prepare(work);
      if (refusal < 0) return this.statusOf(refusal);
      const data = this.bufferOf(work);
      const read = yield* this.read(work, data);
      if (read < 0) return this.statusOf(read);
      if (work.opcode === OPCODE.CHECKSUM) sum = sumOf(data, sum);
      const written = yield* this.write(work, data);
      if (written < 0) return this.statusOf(written);
      advance(work.source, data.length);
      advance(work.destination, data.length);
      work.bytes -= data.length;
    }
    this.engine.publish(RESULT, sum);
    return JOB_STATUS.DONE;
  }

  /** Whatever the registers say must not do harm. Only what the operation uses counts. */
  isValid(work: Work): boolean {
    const { opcode, bytes } = work;
    if (!reads(opcode) && !writes(opcode)) return false;
    if (bytes === 0 || bytes % 8 !== 0) return false;
    return (!reads(opcode) || fits(work.source, bytes)) && (!writes(opcode) || fits(work.destination, bytes));
  }

  /** Asks for the next part of the destination in one group. @returns 0, or one of `REFUSED` */
  *prepare(work: Work): Coroutine<number> {
    const { memory } = this.engine;
    const { destination, prefetch } = work;
    if (!writes(work.opcode) || destination.page < work.prefetched) return 0;
    const left = Math.ceil((destination.offset + work.bytes) / PAGE);
    // It is a hint: where page requests are off, pages are got one by one, as far as they are there.
    const count = Math.min(prefetch, left, memory.groupLimit(work.pasid));
    work.prefetched = destination.page + Math.max(count, 1);
    if (count === 0) return 0;
    if (this.engine.isStopping(work.pasid)) return REFUSED.STOPPED;
    const pages = Array.from({ length: count }, (_unused, i) => destination.page + i);
    return yield* memory.requestPages(work.pasid, pages, LINE.WRITE);
  }

  /** Room for what is done next: it ends with the job, or with a page on either side. A posted write keeps it. */
  bufferOf({ opcode, source, destination, bytes, pattern }: Work): Uint8Array {
    const count = Math.min(
      bytes,
      reads(opcode) ? PAGE - source.offset : PAGE,
      writes(opcode) ? PAGE - destination.offset : PAGE,
    );
    if (reads(opcode)) return new Uint8Array(count);
    return this.patternOf(pattern, count);
  }

  /** Bytes that the pattern fills. All messages of a job share them: nobody changes them. */
  patternOf(pattern: number, count: number): Uint8Array {
    if (this.pattern[0] !== pattern) this.pattern = new Uint32Array(PAGE / 4).fill(pattern);
    return new Uint8Array(this.pattern.buffer, 0, count);
  }

  /** @returns 0, or one of `REFUSED` */
  read(work: Work, data: Uint8Array): Step<number> {
    const { kernel, memory } = this.engine;
    return reads(work.opcode) ? memory.load(work.pasid, work.source, data) : kernel.done(0);
  }

  /** @returns 0, or one of `REFUSED` */
  write(work: Work, data: Uint8Array): Step<number> {
    const { kernel, memory } = this.engine;
    return writes(work.opcode) ? memory.store(work.pasid, work.destination, data) : kernel.done(0);
  }

  /** How a job ends that an access was refused to: with Invalid Request never as a hardware error. */
  statusOf(refusal: number): number {
    if (refusal === REFUSED.STOPPED) return JOB_STATUS.STOPPED;
    return refusal === REFUSED.CANCELLED ? JOB_STATUS.CANCELLED : JOB_STATUS.FAILED;
  }
}

function copyOf(work: Work): Work {
  return { ...work, source: { ...work.source }, destination: { ...work.destination } };
}

function reads(opcode: number): boolean {
  return opcode === OPCODE.COPY || opcode === OPCODE.CHECKSUM;
}

function writes(opcode: number): boolean {
  return opcode === OPCODE.COPY || opcode === OPCODE.FILL;
}

function fits({ page, offset }: Cursor, bytes: number): boolean {
  return offset % 8 === 0 && page + Math.ceil((offset + bytes) / PAGE) - 1 <= LAST_PAGE;
}

/** The 32-bit words, added up modulo 2^32. */
function sumOf(data: Uint8Array, start: number): number {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let sum = start;
  for (let i = 0; i < data.length; i += 4) sum = (sum + view.getUint32(i, true)) >>> 0;
  return sum;
}
