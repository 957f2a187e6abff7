import { type Coroutine, PREEMPT, powerOfTwo, type Step } from '@iommukit/kernel';
import { type Link, PRG_RESPONSE, type Upstream } from '@iommukit/pci-ats';
import {
  ECS_PAGE_REQUEST_BYTES,
  EcsPageRequest,
  FSTS,
  PAGE_REQUEST_BYTES,
  PageRequest as PageRequestDescriptor,
  PQA,
  PQH,
  PQT,
  PRS,
  TTM,
} from '@iommukit/vtd-spec';
import { ADMIT } from './config-fetch.js';
import type { Vtd } from './device.js';
import type { Access } from './faults.js';
import { FLIGHT } from './in-flight.js';

/** A page request as it arrives. */
export type PageRequest = Extract<Upstream, { kind: 'page-request' }>;

const PERM = { READ: 1, WRITE: 2, EXEC: 4, PRIVILEGED: 8 } as const;
const PAGE = 4096;
const BLANK = PageRequestDescriptor.make();
const PAGES = 2 ** 52;
/** What private data begins with: any value does. */
const PRIVATE_MARK = 0x5eed0000;

/**
 * The page-request queue (vtd.md 1.10, 4) and the responses that the unit gives by itself.
 *
 * Left open by the sheet, and chosen: a request that is refused, or comes while there is no queue, is answered Response Failure if it
 * is the last of its group; one lost to overflow Success, so that the device tries again (D-20). A stop marker is never answered.
 */
export class PageRequests {
  readonly vtd: Vtd;
  readonly record = new Uint32Array(PAGE_REQUEST_BYTES / 4);
  /** Requests that were received and are not through: queued, dropped or answered. */
  readonly open: number[];
  /** `next`: the next ticket; `sequence`: requests that were given private data. */
  readonly state = { next: 1, sequence: 0 };

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    this.open = vtd.kernel.checkpoints.keepList<number>([]);
    vtd.kernel.checkpoints.keep(this.state);
  }

  // ── draining ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** The ticket of the next request: a wait with PD that comes now waits for those below. */
  get next(): number {
    return this.state.next;
  }

  /** Every request below the ticket is in the queue, or was lost to overflow, and answers of the unit's own were sent. */
  through(ticket: number): boolean {
    return this.open.length === 0 || this.open[0] >= ticket;
  }

  begin(): number {
    const ticket = this.state.next++;
    this.open.push(ticket);
    return ticket;
  }

  end(ticket: number): void {
    this.open.splice(this.open.indexOf(ticket), 1);
    this.vtd.queue.settled();
  }

  // ── arrival ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes a page request: queues it, or answers it by itself. */
  *receive(link: Link, request: PageRequest): Coroutine<void> {
    const ticket = this.begin();
    const stepwise = this.vtd.data.stepwise;
    if (this.vtd.kernel.at(this.footprint, true)) yield PREEMPT;
    const before = this.vtd.kernel.steps;
    const allowed = stepwise ? yield* this.admitSteps(link, request) : this.admit(link, request);
    // What is known of the queue is known in the step in which it changes.
    if (this.vtd.kernel.steps !== before && this.vtd.kernel.at(this.footprint, true)) yield PREEMPT;
    yield* allowed ? this.take(link, request) : this.fail(link, request);
    this.end(ticket);
  }

  /** The device may send page requests (4.5 step 1); why not is recorded. */
  admit(link: Link, request: PageRequest): boolean {
    if (!this.possible || !sane(request)) return false;
    const reason = this.vtd.translator.admit(link.stream, request.pasid, ADMIT.PAGE_REQUEST);
    return reason === 0 || this.refuse(link, request, reason);
  }

  /** {@link admit} in the stepwise gait. */
  *admitSteps(link: Link, request: PageRequest): Coroutine<boolean> {
    const { inFlight, translator } = this.vtd;
    if (!this.possible || !sane(request)) return false;
    const ticket = inFlight.begin(FLIGHT.WALK);
    const reason = yield* translator.admitSteps(link.stream, request.pasid, ADMIT.PAGE_REQUEST, ticket);
    inFlight.end(ticket);
    return reason === 0 || this.refuse(link, request, reason);
  }

  refuse(link: Link, request: PageRequest, reason: number): false {
    const { faults, translator } = this.vtd;
    faults.record(reason, accessOf(link, request), translator.suppressed);
    return false;
  }

  /** The unit has page requests, translates, and software has given it a queue. */
  get possible(): boolean {
    const { capabilities, registers } = this.vtd;
    return capabilities.prs && registers.translating && this.base !== 0;
  }

  /** Queues a request that was admitted, or loses it to overflow. */
  take(link: Link, request: PageRequest): Step<void> {
    if (this.overflows()) return this.drop(link, request);
    if (this.forgets) this.vtd.translator.forget(link.stream, request.pasid, request.page);
    return this.append(link.stream, request) ? this.vtd.kernel.done(undefined) : this.fail(link, request);
  }

  /** Step 4 of vtd.md 4.5. A unit whose lines answer whatever they lack keeps them until they are invalidated (MN-14, L41). */
  get forgets(): boolean {
    return !this.vtd.capabilities.cacheReadOnly;
  }

  /** A request lost to overflow: Success for the last of a group, so that the device tries again; nothing for others (D-20). */
  drop(link: Link, request: PageRequest): Step<void> {
    return this.respond(link, request, PRG_RESPONSE.SUCCESS);
  }

  /** A request that cannot be served: Response Failure for the last of a group. */
  fail(link: Link, request: PageRequest): Step<void> {
    return this.respond(link, request, PRG_RESPONSE.FAILURE);
  }

  respond(link: Link, request: PageRequest, code: number): Step<void> {
    const { pasid, prgi } = request;
    if (!request.last || isStopMarker(request)) return this.vtd.kernel.done(undefined);
    return link.down({ kind: 'prg-response', pasid, prgi, code });
  }

  // ── the ring ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** The register that says where the next entry goes: what two requests contend for. */
  get footprint(): number {
    return Math.floor((this.vtd.place.base + PQT.offset) / 8);
  }

  /** The old extended-context mode: entries of 16 bytes, and the overflow is in FSTS. */
  get extended(): boolean {
    return this.vtd.registers.ttm === TTM.EXTENDED;
  }

  get entryBytes(): number {
    return this.extended ? ECS_PAGE_REQUEST_BYTES : PAGE_REQUEST_BYTES;
  }

  get base(): number {
    const { registers } = this.vtd;
    return PQA.f.pqa.of(registers.get(PQA.offset), registers.get(PQA.offset + 4));
  }

  /** The bits of PQH and PQT that count. */
  get mask(): number {
    return PAGE * powerOfTwo(PQA.f.pqs.of(this.vtd.registers.get(PQA.offset))) - this.entryBytes;
  }

  get head(): number {
    return (this.vtd.registers.get(PQH.offset) & this.mask) >>> 0;
  }

  get tail(): number {
    return (this.vtd.registers.get(PQT.offset) & this.mask) >>> 0;
  }

  /** The tail after one more entry. */
  get nextTail(): number {
    return (this.tail + this.entryBytes) & this.mask;
  }

  /** PPR: a request was queued, and software has not cleared the bit. */
  get pending(): boolean {
    return PRS.f.ppr.of(this.vtd.registers.get(PRS.offset)) === 1;
  }

  /** PRO: nothing is queued until software clears it. */
  get overflowed(): boolean {
    const { registers } = this.vtd;
    return this.extended
      ? FSTS.f.pro.of(registers.get(FSTS.offset)) === 1
      : PRS.f.pro.of(registers.get(PRS.offset)) === 1;
  }

  /** The request cannot be queued (4.5 steps 2 and 3): the queue overflowed before, or does now. */
  overflows(): boolean {
    if (this.overflowed) return true;
    if (this.nextTail !== this.head) return false;
    if (this.extended) this.vtd.faults.raise(FSTS.f.pro.maskLo);
    else this.report(PRS.f.pro.maskLo);
    return true;
  }

  /** Writes the entry, moves PQT, and reports it, in this order (4.5 step 5). False: there is no memory. */
  append(stream: number, request: PageRequest): boolean {
    const { vtd, record } = this;
    const { memory, kernel, registers } = vtd;
    const pa = this.base + this.tail;
    if (!memory.contains(pa)) return false;
    kernel.observer.fetched(this.vtd.name, Math.floor(pa / PAGE), 'page request queue', stream, request.pasid);
    if (this.extended) this.composeExtended(stream, request);
    else this.compose(stream, request);
    for (let i = 0; i < this.entryBytes / 4; i += 2) {
      memory.store64(pa + i * 4, record[i], record[i + 1]);
      kernel.touch(Math.floor(pa / 8) + i / 2, true);
    }
    registers.put(PQT.offset, this.nextTail);
    this.report(PRS.f.ppr.maskLo);
    return true;
  }

  /** Sets PPR or PRO; an event if neither was set. */
  report(bit: number): void {
    const { registers, events } = this.vtd;
    const status = registers.get(PRS.offset);
    registers.put(PRS.offset, (status | bit) >>> 0);
    if (this.signals(status)) events.raise('page-request');
  }

  /** Only 0 to 1 of PPR or PRO is an event (vtd.md 4.5; L58). */
  signals(before: number): boolean {
    return (before & (PRS.f.ppr.maskLo | PRS.f.pro.maskLo)) === 0;
  }

  // ── entries ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The entry of scalable mode (4.1). A number that no field of a message can hold is cut to the field's width. */
  compose(stream: number, request: PageRequest): void {
    const { record } = this;
    const { perm, pasid } = request;
    record.set(BLANK);
    const { pp, pdp, rid, pasid: id, exr, pmr, rdr, wrr, lpig, prgi, privLow } = PageRequestDescriptor.f;
    rid.set(record, stream & 0xffff);
    if (pasid >= 0) {
      pp.set(record, 1);
      id.set(record, (pasid >>> 0) % powerOfTwo(id.width));
      exr.set(record, (perm & PERM.EXEC) === 0 ? 0 : 1);
      pmr.set(record, (perm & PERM.PRIVILEGED) === 0 ? 0 : 1);
    }
    this.setPage(request.page);
    rdr.set(record, (perm & PERM.READ) === 0 ? 0 : 1);
    wrr.set(record, (perm & PERM.WRITE) === 0 ? 0 : 1);
    lpig.set(record, request.last ? 1 : 0);
    prgi.set(record, (request.prgi >>> 0) % powerOfTwo(prgi.width));
    if (!this.vtd.capabilities.privateData || isStopMarker(request)) return;
    pdp.set(record, 1);
    privLow.setLoHi(record, this.nextPrivate(), PRIVATE_MARK);
  }

  /** The entry of the extended mode (4.2). */
  composeExtended(stream: number, request: PageRequest): void {
    const { record } = this;
    const { perm, pasid } = request;
    record.fill(0);
    const { srr, pp, lpig, pasid: id, bus, devfn, private: data, prgi, rd, wr, exe, priv } = EcsPageRequest.f;
    this.setPage(request.page);
    bus.set(record, (stream >>> 8) & 0xff);
    devfn.set(record, stream & 0xff);
    lpig.set(record, request.last ? 1 : 0);
    prgi.set(record, (request.prgi >>> 0) % powerOfTwo(prgi.width));
    rd.set(record, (perm & PERM.READ) === 0 ? 0 : 1);
    wr.set(record, (perm & PERM.WRITE) === 0 ? 0 : 1);
    if (pasid >= 0) {
      pp.set(record, 1);
      id.set(record, (pasid >>> 0) % powerOfTwo(id.width));
      exe.set(record, (perm & PERM.EXEC) === 0 ? 0 : 1);
      priv.set(record, (perm & PERM.PRIVILEGED) === 0 ? 0 : 1);
    }
    if (!this.vtd.capabilities.privateData || isStopMarker(request)) return;
    srr.set(record, request.last ? 0 : 1);
    data.set(record, this.nextPrivate() % powerOfTwo(data.width));
  }

  nextPrivate(): number {
    return this.state.sequence++ >>> 0;
  }

  /** The address field of both layouts: qw1[63:12]. The fields below it are set afterwards. */
  setPage(page: number): void {
    this.record[2] = ((page % 0x100000) * 4096) >>> 0;
    this.record[3] = Math.floor(page / 0x100000) >>> 0;
  }
}

/** A stop marker (4.4): last, no rights, with a PASID. It is queued as any request, and never answered. */
function isStopMarker(request: PageRequest): boolean {
  return request.last && request.pasid >= 0 && (request.perm & (PERM.READ | PERM.WRITE)) === 0;
}

/** What a device sent can be a page request at all. */
function sane({ page, pasid }: PageRequest): boolean {
  return page >= 0 && page < PAGES && Math.floor(page) === page && (pasid | 0) === pasid;
}

/** What a fault record says about a request. */
function accessOf(link: Link, { page, pasid, perm }: PageRequest): Access {
  const priv = (perm & PERM.PRIVILEGED) !== 0;
  const exec = (perm & PERM.EXEC) !== 0;
  return { stream: link.stream, pasid, page, kind: 'page-request', priv, exec, at: 0 };
}
