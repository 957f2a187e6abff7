import { type PageRequest, type PageResponse, PERM, RESPONSE } from '@iommukit/core';
import { type Coroutine, isIommuError, powerOfTwo, type Step } from '@iommukit/kernel';
import { PageGroupResponse, RESPONSE as RC } from '@iommukit/vtd-spec';
import { prqReport, vtdPageRequest, vtdPrqOverflow } from './page-request-points.js';
import { PageRequestQueue, type Pointers } from './page-request-queue.js';
import { readRequest, reported, type WrittenRequest } from './page-request-record.js';
import type { Master } from './records.js';
import { handlesInThread } from './settings.js';
import type { Vtd } from './vtd.js';

const R = PageGroupResponse.f;
const TEMPLATE = PageGroupResponse.make();
/** Words of private data; after them an echo says whether the request was the last of its group. */
const PRIVATE_WORDS = 4;

/** What is wrong with a request that no mm is asked about, as the kernel's log says it (vtd.md 7.4). */
export const OBJECTION = {
  CANONICAL: 'Address is not canonical',
  PRIVILEGED: 'Page request in Privilege Mode',
  EXECUTE: 'Execution request not supported',
  /** Where the interrupt thread handles requests (D-6). */
  NO_PASID: 'Page request without PASID',
} as const;

/** The thread of the page request queue: requests in, group responses out (vtd.md 4.6). */
export class PageRequests extends PageRequestQueue {
  /** The request that is being read. Only the thread reads requests. */
  readonly record: Uint32Array;

  constructor(vtd: Vtd) {
    super(vtd);
    this.record = new Uint32Array(this.entryBytes / 4);
  }

  /** Lets requests come. */
  *start(): Coroutine<void> {
    this.vtd.device.irq('page-request').handle(() => this.work());
    yield* this.program();
  }

  // ── a pass ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The interrupt thread: goes through what is in the ring now. */
  *work(): Coroutine<void> {
    this.beginPass();
    const { head, tail } = yield* this.takeSnapshot();
    for (let at = head; at !== tail; at = this.next(at)) {
      yield* this.loadEntry(at, this.record);
      yield* this.handle(this.record);
    }
    if (head !== tail) yield* this.acknowledge(tail);
    if (yield* this.overflowed()) yield* this.recover();
    this.endPass();
  }

  /** VTD-31, IOPF-22: the bit first. What comes in between is in the snapshot as well, or raises an interrupt. */
  *takeSnapshot(): Coroutine<Pointers> {
    yield* this.clearPending();
    return yield* this.readPointers();
  }

  /**
   * Requests were lost: what is left of their groups will never be complete (IOPF-15). While requests are in the ring the
   * hardware stays stopped: their own interrupt comes, and finds it so (VTD-33).
   */
  *recover(): Coroutine<void> {
    this.traceOverflow(false);
    if (!(yield* this.isEmpty())) return;
    this.state.overflows++;
    yield* this.discardPartial();
    yield* this.clearOverflow();
    this.traceOverflow(true);
  }

  *isEmpty(): Coroutine<boolean> {
    const { head, tail } = yield* this.readPointers();
    return head === tail;
  }

  *discardPartial(): Coroutine<void> {
    this.vtd.threadFaults.discardPartial();
    yield* this.vtd.iopf.discardPartial();
  }

  // ── one request ────────────────────────────────────────────────────────────────────────────────────────────────

  *handle(words: Uint32Array): Coroutine<void> {
    const request = this.read(words);
    const objection = this.objectionTo(request);
    if (objection !== '') return yield* this.refuse(request, objection, this.codeFor(objection));
    if (this.isStopMarker(request)) return yield* this.dropStopMarker(request);
    const { masters } = this.vtd;
    // Held until the report is done: the device must not be released meanwhile (IOPF-26).
    const lock = yield* masters.lockStreams();
    const master = yield* this.findMaster(request.rid);
    try {
      if (master?.iopf === true) yield* this.report(master, request);
      else yield* this.refuse(request, '', this.codeFor(''));
    } finally {
      masters.putLookup(master);
      masters.unlockStreams(lock);
    }
  }

  read(words: Uint32Array): WrittenRequest {
    return readRequest(words);
  }

  /** PF-9, VTD-35, VTD-38: what no mm is asked about, or ''. Before stop markers are looked for. */
  objectionTo(request: WrittenRequest): string {
    const { perm } = request;
    if (this.inThread && request.pasid === null) return OBJECTION.NO_PASID;
    if (!this.isCanonical(request)) return OBJECTION.CANONICAL;
    if ((perm & PERM.PRIV) !== 0 && (perm & (PERM.READ | PERM.WRITE)) !== 0) return OBJECTION.PRIVILEGED;
    if ((perm & PERM.EXEC) !== 0 && (perm & PERM.READ) !== 0) return OBJECTION.EXECUTE;
    return '';
  }

  /** All bits from the highest of a virtual address on are equal (VTD-35). */
  isCanonical({ page }: WrittenRequest): boolean {
    const half = powerOfTwo(this.vtd.core.format.addressBits - 1 - 12);
    return page < half || page >= 2 ** 52 - half;
  }

  /** The last of its group, asking for nothing: says that no more requests come, and wants no answer (IOPF-13). */
  isStopMarker({ last, perm }: WrittenRequest): boolean {
    return last && (perm & (PERM.READ | PERM.WRITE)) === 0;
  }

  /** Everything that the device asked before is reported already, and unbind waits for it. */
  *dropStopMarker(_request: WrittenRequest): Coroutine<void> {}

  /** The device that asked, with a reference, or null: found by its requester id, among all devices (IOPF-25). */
  findMaster(rid: number): Step<Master | null> {
    return this.vtd.masters.lookUp(rid);
  }

  *report(master: Master, request: WrittenRequest): Coroutine<void> {
    this.traceReport(master, request);
    const fault = this.asFault(request);
    if (this.inThread) return yield* this.handleHere(master, request, fault);
    try {
      yield* this.vtd.core.faults.report(master.device, fault);
    } catch (error) {
      if (!isIommuError(error)) throw error;
      yield* this.refuse(request, '', RESPONSE.INVALID);
    }
  }

  asFault(request: WrittenRequest): PageRequest {
    return reported(request, this.addressOf(request));
  }

  /** PF-8, VTD-34: 64 bits wide before it is shifted, and by the unit's page size, whatever the CPUs' is. */
  addressOf({ page }: WrittenRequest): bigint {
    return BigInt(page) << 12n;
  }

  // ── handled by the thread itself ───────────────────────────────────────────────────────────────────────────────

  /** The thread handles requests itself, as kernels did until 5.10. */
  get inThread(): boolean {
    return handlesInThread(this.vtd.core.settings);
  }

  *handleHere(master: Master, request: WrittenRequest, fault: PageRequest): Coroutine<void> {
    const { core, threadFaults } = this.vtd;
    const code = yield* threadFaults.handle(master, fault, request.last);
    if (!this.wantsAnswer(request)) return;
    core.faults.answered(master.device, fault.pasid, fault.group, code);
    yield* this.answer(request, code);
  }

  // ── answers ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Nobody can handle the request: it is answered all the same, or the device waits for ever (IOPF-9, IOPF-24). */
  *refuse(request: WrittenRequest, reason: string, code: number): Coroutine<void> {
    this.traceRefusal(reason);
    if (this.wantsAnswer(request)) yield* this.answer(request, code);
  }

  /** Of a group the last request is answered (IOPF-8), and what brought private data (IOPF-30). */
  wantsAnswer({ last, single }: WrittenRequest): boolean {
    return last || single;
  }

  /** What a request is refused with: it fails one process, and not the device. Old kernels were not so kind (D-6). */
  codeFor(objection: string): number {
    const severe = objection !== '' && objection !== OBJECTION.CANONICAL;
    return this.inThread && severe ? RESPONSE.FAILURE : RESPONSE.INVALID;
  }

  /** Answers a written request. It is not waited for. */
  answer({ rid, pasid, group, echo }: WrittenRequest, code: number): Coroutine<void> {
    return this.sendResponse(rid, pasid, group, code, echo);
  }

  /** Sends a group's answer to the device (VTD-39). It is not waited for. */
  respond({ device }: Master, { pasid, group, code, privateData }: PageResponse): Coroutine<void> {
    return this.sendResponse(device.streams[0]!, pasid, group, code, privateData ?? null);
  }

  /** One page group response (vtd.md 3.9). */
  sendResponse(
    rid: number,
    pasid: number | null,
    group: number,
    code: number,
    echo: readonly number[] | null,
  ): Coroutine<void> {
    const { queue } = this.vtd;
    const batch = queue.batch();
    const { words } = batch;
    const at = batch.add(TEMPLATE);
    R.rid.set(words, rid, at);
    R.rc.set(words, this.responseCode(code), at);
    R.prgi.set(words, group, at);
    if (pasid !== null) {
      R.pp.set(words, 1, at);
      R.pasid.set(words, pasid, at);
    }
    if (echo !== null) {
      R.pdp.set(words, 1, at);
      R.lpig.set(words, echo[PRIVATE_WORDS]!, at);
      for (let i = 0; i < PRIVATE_WORDS; i++) words[at + PRIVATE_WORDS + i] = echo[i]!;
    }
    return queue.submit(batch);
  }

  /** The kernel's code as the unit's (vtd.md 4.3, D-5). */
  responseCode(code: number): number {
    return code === RESPONSE.FAILURE ? RC.FAILURE : code;
  }

  // ── what others are told ───────────────────────────────────────────────────────────────────────────────────────

  traceReport({ device }: Master, request: WrittenRequest): void {
    const { kernel, name } = this.vtd;
    const sequence = this.state.sequence++;
    if (kernel.trace.wants(prqReport))
      kernel.trace.emit(prqReport, { unit: name, dev: device.name, sequence, request });
  }

  traceRefusal(reason: string): void {
    const { kernel, name } = this.vtd;
    if (!kernel.trace.wants(vtdPageRequest)) return;
    kernel.trace.emit(vtdPageRequest, { unit: name, reason, words: this.record.slice() });
  }

  traceOverflow(cleared: boolean): void {
    const { kernel, name } = this.vtd;
    if (kernel.trace.wants(vtdPrqOverflow)) kernel.trace.emit(vtdPrqOverflow, { unit: name, cleared });
  }
}
