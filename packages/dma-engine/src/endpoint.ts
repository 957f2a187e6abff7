import type { AnyRegister } from '@iommukit/bitfield';
import { type Coroutine, type HardwarePlace, type Kernel, LINE, type Settings, type Task } from '@iommukit/kernel';
import {
  AT,
  type Atc,
  type AtsEndpoint,
  type ConfigSpace,
  type Downstream,
  type Link,
  PciFunction,
  PRG_RESPONSE,
  type PageRequestInterface,
} from '@iommukit/pci-ats';
import { type Capabilities, capabilitiesOf } from './capabilities.js';
import type { EngineParts } from './module.js';
import { RegisterFile } from './register-file.js';
import * as R from './registers.js';
import { engineDma, engineStop, engineTranslate } from './tracepoints.js';

/** How a step of a job went: a line of the ATC (0 or more), or one of these. */
const REFUSED = { CANCELLED: -1, FAILED: -2 } as const;

const PAGE = 4096;

/** What the job registers said when the doorbell rang. */
interface Work {
  readonly opcode: number;
  readonly pasid: number;
  /** Byte addresses as page and offset; they move along. */
  readonly source: Cursor;
  readonly destination: Cursor;
  bytes: number;
  readonly pattern: number;
  readonly prefetch: number;
}

interface Cursor {
  page: number;
  offset: number;
}

/**
 * The accelerator: a PCI function that copies, fills and sums a process's memory by its own addresses. One access is
 * outstanding at a time; it asks only for the right that the access needs.
 */
export class DmaEngine implements AtsEndpoint {
  readonly kernel: Kernel;
  readonly name: string;
  readonly link: Link;
  readonly stopKind: string;
  readonly capabilities: Capabilities;
  readonly fn: PciFunction;
  readonly registers: RegisterFile;
  readonly atc: Atc;
  readonly pri: PageRequestInterface;
  readonly task: Task;
  readonly state = { start: false, stop: -1, readTag: 0 };
  /** The read under way, or null. */
  read: { tag: number; data: Uint8Array | null; failed: boolean } | null = null;

  constructor(place: HardwarePlace, link: Link, settings: Settings, parts: EngineParts) {
    const { kernel, name } = place;
    this.kernel = kernel;
    this.name = name;
    this.link = link;
    this.stopKind = String(settings['stop-kind'] ?? 'waits');
    const can = capabilitiesOf(place.capabilities);
    this.capabilities = can;
    this.registers = new RegisterFile(kernel, (register) => this.written(register));
    this.fn = new PciFunction(
      kernel,
      place.bus,
      {
        ...R.IDENTITY,
        ats: can.ats ? { queueDepth: can.queueDepth, pageAligned: true, globalInvalidate: false } : null,
        pri: can.pri ? { capacity: can.prgCapacity, prgResponsePasidRequired: can.prgPasidRequired } : null,
        pasid: can.pasidBits > 0 ? { width: can.pasidBits, exec: false, priv: false } : null,
      },
      [this.registers],
    );
    const { fn } = this;
    this.atc = new parts.Atc({
      kernel,
      name: `${name} ATC`,
      link,
      fn,
      memory: place.bus.memory,
      entries: can.atcEntries,
    });
    this.pri = new parts.PageRequestInterface({ kernel, link, fn });
    this.fn.listener = {
      atsDisabled: () => this.atc.dropAll(),
      priEnabled: () => this.pri.enabled(),
      priDisabled: () => this.pri.disabled(),
      priReset: () => this.pri.reset(),
    };
    this.task = kernel.daemon(`engine/${name}`, () => this.work());
    kernel.checkpoints.keep(this.state);
    kernel.checkpoints.add({ save: () => () => this.forgetRead() });
  }

  get config(): ConfigSpace {
    return this.fn.config;
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────────────────────

  *receive(tlp: Downstream): Coroutine<void> {
    switch (tlp.kind) {
      case 'translation-completion':
        return this.atc.answer(tlp);
      case 'prg-response':
        return this.pri.respond(tlp);
      case 'invalidate-request':
        return yield* this.atc.invalidate(tlp);
      case 'completion':
        return this.completed(tlp);
    }
  }

  /** A read's completion. One for another tag is not ours to use. */
  completed(tlp: Extract<Downstream, { kind: 'completion' }>): void {
    const { read } = this;
    if (read === null || read.tag !== tlp.tag) return;
    if (tlp.status === 'ok') read.data = tlp.data;
    else read.failed = true;
    this.kernel.wake(this.task);
  }

  forgetRead(): void {
    this.read = null;
  }

  // ── registers ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** A driver wrote a register. */
  written(register: AnyRegister): void {
    const value = this.registers.word(register);
    if (register === R.DOORBELL && R.DOORBELL.f.start.of(value) === 1) this.ring();
    else if (register === R.STOP && R.STOP.f.request.of(value) === 1) this.requestStop(R.STOP.f.pasid.of(value));
  }

  /** A doorbell while a job runs is lost: the driver waits for the outcome first. */
  ring(): void {
    this.registers.set(R.DOORBELL, 0);
    if (this.jobStatus() === R.JOB_STATUS.RUNNING) return;
    this.registers.set(R.STATUS, R.STATUS.pack({ job: R.JOB_STATUS.RUNNING }));
    this.state.start = true;
    this.kernel.kick(this.task);
  }

  requestStop(pasid: number): void {
    this.registers.set(R.STOP, R.STOP.pack({ pasid }));
    this.registers.set(R.STOPPED, R.STOPPED.pack({ pasid }));
    this.state.stop = pasid;
    this.kernel.kick(this.task);
  }

  jobStatus(): number {
    return R.STATUS.f.job.of(this.registers.word(R.STATUS));
  }

  // ── the engine's task ──────────────────────────────────────────────────────────────────────────────────────────

  *work(): Coroutine<void> {
    while (this.state.start || this.state.stop >= 0) {
      if (this.state.start) {
        this.state.start = false;
        yield* this.endJob(yield* this.run(this.job()));
      } else yield* this.stop(this.state.stop);
    }
  }

  job(): Work {
    const { registers } = this;
    return {
      opcode: R.OPERATION.f.opcode.of(registers.word(R.OPERATION)),
      pasid: R.PASID.f.pasid.of(registers.word(R.PASID)),
      source: registers.address(R.SOURCE),
      destination: registers.address(R.DESTINATION),
      bytes: registers.word(R.LENGTH),
      pattern: registers.word(R.PATTERN),
      prefetch: R.PREFETCH.f.pages.of(registers.word(R.PREFETCH)),
    };
  }

  /** Runs a job to its end. @returns its {@link R.JOB_STATUS} */
  *run(work: Work): Coroutine<number> {
    if (!this.isValid(work)) return R.JOB_STATUS.INVALID_JOB;
    const reads = work.opcode !== R.OPCODE.FILL;
    const writes = work.opcode !== R.OPCODE.CHECKSUM;
    const pattern = reads ? null : patternPage(work.pattern);
    let sum = 0;
    for (let pages = 0; work.bytes > 0; pages++) {
      if (writes && work.prefetch > 0 && pages % work.prefetch === 0) {
        const refusal = yield* this.prefetch(work);
        if (refusal < 0) return statusOf(refusal);
      }
      const count = Math.min(
        work.bytes,
        reads ? PAGE - work.source.offset : PAGE,
        writes ? PAGE - work.destination.offset : PAGE,
      );
      let data = pattern?.subarray(0, count) ?? null;
      if (reads) {
        data = yield* this.load(work.pasid, work.source, count);
        if (data === null) return this.readStatus;
        sum = writes ? 0 : sumOf(data, sum);
      }
      const refusal = writes ? yield* this.store(work.pasid, work.destination, data!) : 0;
      if (refusal < 0) return statusOf(refusal);
      advance(work.source, count);
      advance(work.destination, count);
      work.bytes -= count;
    }
    this.registers.set(R.RESULT, sum >>> 0);
    return R.JOB_STATUS.DONE;
  }

  /** Why the last {@link load} gave nothing, as a job status. */
  readStatus: number = R.JOB_STATUS.FAILED;

  isValid({ opcode, source, destination, bytes }: Work): boolean {
    const known = opcode === R.OPCODE.COPY || opcode === R.OPCODE.FILL || opcode === R.OPCODE.CHECKSUM;
    return known && bytes > 0 && bytes % 8 === 0 && source.offset % 8 === 0 && destination.offset % 8 === 0;
  }

  /** Publishes the outcome, then says so: the message never overtakes the data. */
  *endJob(status: number): Coroutine<void> {
    this.registers.set(R.STATUS, R.STATUS.pack({ job: status }));
    this.registers.set(R.INTERRUPT, R.INTERRUPT.pack({ jobEnded: 1 }));
    this.fn.bars[0]!.changed(R.STATUS.offset);
    if (this.fn.state.interrupts) yield* this.link.up({ kind: 'interrupt' });
  }

  // ── accesses ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Reads up to a page. @returns null when refused; {@link readStatus} then says why */
  *load(pasid: number, from: Cursor, bytes: number): Coroutine<Uint8Array | null> {
    const line = yield* this.reach(pasid, from.page, LINE.READ);
    if (line < 0) {
      this.readStatus = statusOf(line);
      return null;
    }
    const read = {
      tag: (this.state.readTag = (this.state.readTag + 1) & 31),
      data: null as Uint8Array | null,
      failed: false,
    };
    this.read = read;
    this.atc.pin(line);
    this.tell(pasid, from, bytes, false);
    yield* this.link.up({
      kind: 'read',
      tag: read.tag,
      bytes,
      offset: from.offset,
      ...this.target(pasid, line, from.page),
    });
    while (read.data === null && !read.failed) yield* this.kernel.park('a read completion');
    this.read = null;
    yield* this.letGo(line);
    if (read.data === null) this.readStatus = R.JOB_STATUS.FAILED;
    return read.data;
  }

  /** Writes up to a page: posted, so it is through once sent. @returns 0, or {@link REFUSED} */
  *store(pasid: number, to: Cursor, data: Uint8Array): Coroutine<number> {
    const line = yield* this.reach(pasid, to.page, LINE.WRITE);
    if (line < 0) return line;
    this.atc.pin(line);
    this.tell(pasid, to, data.length, true);
    yield* this.link.up({ kind: 'write', offset: to.offset, data, ...this.target(pasid, line, to.page) });
    yield* this.letGo(line);
    return 0;
  }

  /** How a message addresses a page: translated, or untranslated where the line says so (ATC-4). */
  target(pasid: number, line: number, page: number): { at: number; pasid: number; page: number; witness: number } {
    if (this.atc.untranslatedOnly(line)) return { at: AT.UNTRANSLATED, pasid, page, witness: 0 };
    return { at: AT.TRANSLATED, pasid, page: this.atc.frameOf(line, page), witness: this.atc.witnessOf(line, page) };
  }

  /** The access is done with its line: invalidations that waited for it complete now (ATC-8). */
  *letGo(line: number): Coroutine<void> {
    if (this.atc.unpin(line)) yield* this.atc.settle();
  }

  /**
   * Gets the right to a page: from the cache, else by asking for its translation, else by asking for the page.
   * @returns the line, not yet pinned, or {@link REFUSED}
   */
  *reach(pasid: number, page: number, want: number): Coroutine<number> {
    for (;;) {
      const line = this.atc.lookup(pasid, page);
      if (line >= 0 && (this.atc.rights(line) & want) === want) return line;
      const outcome = yield* this.atc.translate(pasid, page, want);
      this.tellTranslation(pasid, page, want, outcome === 'cached');
      if (outcome === 'ur' || outcome === 'ca') return REFUSED.FAILED;
      if (outcome !== 'denied') continue;
      const answer = yield* this.requestPages(pasid, [page], want);
      if (answer < 0) return answer;
    }
  }

  /** Asks for the next part of the destination in one group. */
  *prefetch({ pasid, destination, bytes, prefetch }: Work): Coroutine<number> {
    const left = Math.ceil((destination.offset + bytes) / PAGE);
    const count = Math.min(prefetch, left, this.pri.limit);
    if (count === 0) return 0;
    const pages = Array.from({ length: count }, (_unused, i) => destination.page + i);
    return yield* this.requestPages(pasid, pages, LINE.WRITE);
  }

  /** One group of page requests. @returns 0 when it was answered Success (retry: PF-6), or {@link REFUSED} */
  *requestPages(pasid: number, pages: readonly number[], want: number): Coroutine<number> {
    const group = yield* this.pri.request(pasid, pages, want);
    if (group === null) return REFUSED.CANCELLED;
    const code = yield* this.pri.answerOf(group);
    if (code === PRG_RESPONSE.SUCCESS) return 0;
    return this.refusalOf(code);
  }

  /** Invalid Request ends the job as cancelled: a page that was promised may be gone again, which is no hardware error. */
  refusalOf(code: number): number {
    return code === PRG_RESPONSE.INVALID_REQUEST ? REFUSED.CANCELLED : REFUSED.FAILED;
  }

  // ── stop ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** PASID stop (IOPF-14): between two jobs, so no request with the PASID is under way; a marker says so if asked to. */
  *stop(pasid: number): Coroutine<void> {
    this.state.stop = -1;
    if (this.stopKind === 'marker') yield* this.pri.stopMarker(pasid);
    this.registers.set(R.STOPPED, R.STOPPED.pack({ pasid, done: 1 }));
    this.fn.bars[0]!.changed(R.STOPPED.offset);
    const { trace } = this.kernel;
    if (trace.on) trace.emit(engineStop, { dev: this.name, pasid, kind: this.stopKind });
  }

  // ── trace ──────────────────────────────────────────────────────────────────────────────────────────────────────

  tell(pasid: number, { page, offset }: Cursor, bytes: number, write: boolean): void {
    const { trace } = this.kernel;
    if (!trace.wants(engineDma)) return;
    trace.emit(engineDma, { dev: this.name, pasid, addr: BigInt(page) * 4096n + BigInt(offset), bytes, write });
  }

  tellTranslation(pasid: number, page: number, want: number, granted: boolean): void {
    const { trace } = this.kernel;
    if (!trace.wants(engineTranslate)) return;
    trace.emit(engineTranslate, {
      dev: this.name,
      pasid,
      addr: BigInt(page) * 4096n,
      write: want === LINE.WRITE,
      granted,
    });
  }
}

function statusOf(refusal: number): number {
  return refusal === REFUSED.CANCELLED ? R.JOB_STATUS.CANCELLED : R.JOB_STATUS.FAILED;
}

function advance(cursor: Cursor, bytes: number): void {
  cursor.offset += bytes;
  cursor.page += Math.floor(cursor.offset / PAGE);
  cursor.offset %= PAGE;
}

function patternPage(word: number): Uint8Array {
  return new Uint8Array(new Uint32Array(PAGE / 4).fill(word).buffer);
}

function sumOf(data: Uint8Array, start: number): number {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let sum = start;
  for (let i = 0; i < data.length; i += 4) sum = (sum + view.getUint32(i, true)) | 0;
  return sum;
}
