import { type Coroutine, PREEMPT, powerOfTwo, type Step } from '@iommukit/kernel';
import { type Link, PRG_RESPONSE, type Upstream } from '@iommukit/pci-ats';
import { PRI_BYTES, PRIQ_BASE, PRIQ_CONS, PRIQ_IRQ_CFG2, PRIQ_PROD, PriRequest, STE } from '@iommukit/smmuv3-spec';
import { ConfigFetch } from './config-fetch.js';
import type { SmmuV3 } from './device.js';
import { SOURCE } from './interrupts.js';
import { OutputQueue } from './output-queue.js';
import { GERROR_BIT } from './register-map.js';

/** A page request as it arrives. */
export type PageRequest = Extract<Upstream, { kind: 'page-request' }>;

const PERM = { READ: 1, WRITE: 2, EXEC: 4, PRIVILEGED: 8 } as const;
const NO_PASID = -1;

/** The PRI queue (smmuv3.md 5.5, 5.6), and the responses that the SMMU gives by itself. */
export class PageRequestQueue extends OutputQueue {
  readonly record = new Uint32Array(PRI_BYTES / 4);

  constructor(smmu: SmmuV3) {
    super(smmu, {
      base: PRIQ_BASE,
      prod: PRIQ_PROD.offset,
      cons: PRIQ_CONS.offset,
      entryBytes: PRI_BYTES,
      maxBits: smmu.capabilities.priqBits,
      abortError: GERROR_BIT.PRIQ_ABT_ERR,
      source: SOURCE.PRIQ,
    });
  }

  /** Takes a page request: queues it, or answers it by itself. */
  receive(link: Link, request: PageRequest): Step<void> {
    const preempted = this.smmu.kernel.at(this.footprint, true);
    return preempted ? this.takeLater(link, request) : this.take(link, request);
  }

  *takeLater(link: Link, request: PageRequest): Coroutine<void> {
    yield PREEMPT;
    yield* this.take(link, request);
  }

  take(link: Link, request: PageRequest): Step<void> {
    const { kernel } = this.smmu;
    if (this.deliverable && this.overflows()) return this.drop(link, request);
    if (this.deliverable) this.append(this.compose(link.stream, request));
    else if (!isStopMarker(request)) return this.respond(link, request, PRG_RESPONSE.FAILURE, NO_PASID);
    return kernel.done(undefined);
  }

  /** The register that says where the next entry goes: what two requests contend for. */
  get footprint(): number {
    return Math.floor((this.smmu.place.base + PRIQ_PROD.offset) / 8);
  }

  /** The effective PRIQEN is 1 and no abort is unacknowledged; otherwise every request fails. */
  get deliverable(): boolean {
    return this.smmu.registers.priqEnabled && !this.aborted;
  }

  /** The queue is full, or was and software has not acknowledged it: the request cannot be queued. */
  overflows(): boolean {
    const { registers } = this.smmu;
    if (this.ring.full) registers.overflow(this.ring.prodAt, this.ring.consAt);
    return registers.overflowed(this.ring.prodAt, this.ring.consAt);
  }

  /** A request lost to overflow: Success for the last of a group, so that the device tries again; nothing for others. */
  *drop(link: Link, request: PageRequest): Coroutine<void> {
    if (!request.last || isStopMarker(request)) return;
    const { smmu } = this;
    if (this.interruptsOnLast) smmu.interrupts.raise(SOURCE.PRIQ);
    if (request.pasid < 0) return yield* this.respond(link, request, PRG_RESPONSE.SUCCESS, NO_PASID);
    if (smmu.capabilities.pps) return yield* this.respond(link, request, PRG_RESPONSE.SUCCESS, request.pasid);
    const ste = smmu.data.stepwise ? yield* this.validSteSteps(link.stream) : smmu.fetcher.validSte(link.stream);
    if (ste === null) return yield* this.respond(link, request, PRG_RESPONSE.FAILURE, NO_PASID);
    const ppar = STE.f.ppar.get(ste) === 1;
    yield* this.respond(link, request, PRG_RESPONSE.SUCCESS, ppar ? request.pasid : NO_PASID);
  }

  /** Fetcher.validSte in the stepwise gait. */
  *validSteSteps(stream: number): Coroutine<Uint32Array | null> {
    const { fetcher, inFlight } = this.smmu;
    const fetch = new ConfigFetch();
    fetch.stream = stream;
    fetch.ticket = inFlight.begin();
    const eats = yield* fetcher.eatsSteps(fetch);
    inFlight.end(fetch.ticket);
    return eats >= 0 || fetch.reason === 0 ? fetch.ste : null;
  }

  respond(link: Link, request: PageRequest, code: number, pasid: number): Step<void> {
    return link.down({ kind: 'prg-response', pasid, prgi: request.prgi, code });
  }

  /** The record of a request. A number that no field of a message can hold is cut to the field's width. */
  compose(stream: number, request: PageRequest): Uint32Array {
    const { record } = this;
    const { perm, pasid } = request;
    record.fill(0);
    const { sid, ssid, ssv, priv, x, r, w, last, prgIndex } = PriRequest.f;
    sid.set(record, stream);
    r.set(record, (perm & PERM.READ) === 0 ? 0 : 1);
    w.set(record, (perm & PERM.WRITE) === 0 ? 0 : 1);
    last.set(record, request.last ? 1 : 0);
    if (pasid >= 0) {
      ssv.set(record, 1);
      ssid.set(record, (pasid >>> 0) % powerOfTwo(ssid.width));
      x.set(record, (perm & PERM.EXEC) === 0 ? 0 : 1);
      priv.set(record, (perm & PERM.PRIVILEGED) === 0 ? 0 : 1);
    }
    if (isStopMarker(request)) return record;
    prgIndex.set(record, (request.prgi >>> 0) % powerOfTwo(prgIndex.width));
    record[2] = (record[2] | ((request.page % 0x100000) * 4096)) >>> 0;
    record[3] = Math.floor(request.page / 0x100000) >>> 0;
    return record;
  }

  /** PRIQ_IRQ_CFG2.LO: interrupts on Last requests instead of empty to non-empty. */
  get interruptsOnLast(): boolean {
    return PRIQ_IRQ_CFG2.f.lo.of(this.smmu.registers.get(PRIQ_IRQ_CFG2.offset)) === 1;
  }

  override interrupts(wasEmpty: boolean, entry: Uint32Array): boolean {
    return this.interruptsOnLast ? PriRequest.f.last.get(entry) === 1 : wasEmpty;
  }
}

/** A stop marker (5.5): Last, no rights, with a PASID. It is never answered. */
function isStopMarker(request: PageRequest): boolean {
  return request.last && request.pasid >= 0 && (request.perm & (PERM.READ | PERM.WRITE)) === 0;
}
