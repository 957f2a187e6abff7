import { type Coroutine, PREEMPT, type Step } from '@iommukit/kernel';
import {
  AT,
  type CompletionStatus,
  type Link,
  type Translation,
  type Upstream,
  WANT_PRIVILEGED,
} from '@iommukit/pci-ats';
import { EATS, EVENT, STALLABLE_FAULTS } from '@iommukit/smmuv3-spec';
import { ConfigFetch } from './config-fetch.js';
import { FLAG } from './context-fields.js';
import type { SmmuV3 } from './device.js';
import type { Access } from './faults.js';
import { STALL_ACTION, type StallAction } from './stalls.js';

/** A data access as it arrives. */
export type DataWrite = Extract<Upstream, { kind: 'write' }>;
export type DataRead = Extract<Upstream, { kind: 'read' }>;

const WANT = { READ: 1, WRITE: 2 } as const;
const PAGE = 4096;
const NOTHING = new Uint8Array(0);
const STATUS = { go: 'ok', abort: 'ca', ignore: 'ok', held: 'held' } as const;

/** What becomes of an access: done in memory, aborted, (CD.A = 0) as if it had been done, or held back by a stall. */
type Verdict = 'go' | 'abort' | 'ignore' | 'held';
/** How an access ended; `held`: it has not. */
type Status = CompletionStatus | 'held';

/** The first page beyond the address range: what devices send is not trusted. */
const PAGES = 2 ** 52;

/**
 * Data accesses of devices: translated ones (AT=2) are checked, others translated; then memory is read or written. In the atomic
 * gait each is one step; in the stepwise gait the walk and the access are steps of their own.
 */
export class DataAccesses {
  readonly smmu: SmmuV3;
  readonly stepwise: boolean;
  readonly translation: Translation = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
  /** Frame of the access that was judged last, and its generation when it was translated. */
  frame = 0;
  witness = 0;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
    this.stepwise = smmu.capabilities.gait === 'stepwise';
  }

  /** A write. Posted (without a tag): what is wrong with it is recorded, and nobody is told. */
  write(link: Link, tlp: DataWrite): Step<void> {
    const { kernel, footprint } = this.smmu;
    if (tlp.tag !== undefined || this.stepwise) return this.writeAndAnswer(link, tlp, false);
    if (kernel.at(footprint, false)) return this.storeLater(link, tlp);
    this.store(link, tlp, false);
    return kernel.done(undefined);
  }

  // A closure in the method above would cost an allocation at every write.
  storeLater(link: Link, tlp: DataWrite): Step<void> {
    return this.smmu.kernel.pending(() => {
      this.store(link, tlp, false);
    });
  }

  /** A write that is answered if it has a tag. `again`: it was stalled, and is let go. */
  *writeAndAnswer(link: Link, tlp: DataWrite, again: boolean): Coroutine<void> {
    const { kernel, footprint } = this.smmu;
    if (kernel.at(footprint, false)) yield PREEMPT;
    const status = this.stepwise ? yield* this.storeSteps(link, tlp, again) : this.store(link, tlp, again);
    if (status !== 'held') yield* this.complete(link, tlp, status, NOTHING);
  }

  store(link: Link, tlp: DataWrite, again: boolean): Status {
    if (tlp.data.length === 0) return 'ok';
    const verdict = this.judge(link, tlp, true, again);
    return verdict === 'go' ? this.put(link, tlp) : STATUS[verdict];
  }

  *storeSteps(link: Link, tlp: DataWrite, again: boolean): Coroutine<Status> {
    if (tlp.data.length === 0) return 'ok';
    const { inFlight } = this.smmu;
    const ticket = inFlight.begin();
    const verdict = yield* this.judgeSteps(link, tlp, true, again, ticket);
    if (verdict === 'go') yield* this.reach(tlp, true);
    const status = verdict === 'go' ? this.put(link, tlp) : STATUS[verdict];
    inFlight.end(ticket);
    return status;
  }

  /** Writes to {@link frame}. Beyond RAM a write is lost. */
  put(link: Link, tlp: DataWrite): CompletionStatus {
    const { smmu } = this;
    const bytes = tlp.data.length <= PAGE - tlp.offset ? tlp.data : tlp.data.subarray(0, PAGE - tlp.offset);
    this.touch(tlp.offset, bytes.length, true);
    smmu.kernel.observer.dma(smmu.deviceName(link.stream), link.stream, tlp.pasid, this.frame, this.witness, true);
    smmu.memory.write(this.frame * PAGE + tlp.offset, bytes);
    return tlp.tag === undefined || smmu.memory.indexOf(this.frame) >= 0 ? 'ok' : 'ur';
  }

  /** A read: answered with the data, zeros, or an abort. `again`: it was stalled, and is let go. */
  *read(link: Link, tlp: DataRead, again = false): Coroutine<void> {
    const { smmu } = this;
    if (smmu.kernel.at(smmu.footprint, false)) yield PREEMPT;
    const ticket = this.stepwise ? smmu.inFlight.begin() : 0;
    const verdict = this.stepwise
      ? yield* this.judgeSteps(link, tlp, false, again, ticket)
      : this.judge(link, tlp, false, again);
    if (this.stepwise && verdict === 'go') yield* this.reach(tlp, false);
    const bytes = Math.min(Math.max(Math.floor(tlp.bytes), 0), PAGE - tlp.offset);
    let status: Status = STATUS[verdict];
    if (verdict === 'go' && smmu.memory.indexOf(this.frame) < 0) status = 'ur';
    const data = status === 'ok' ? new Uint8Array(bytes) : NOTHING;
    if (verdict === 'go' && status === 'ok') {
      this.touch(tlp.offset, bytes, false);
      smmu.kernel.observer.dma(smmu.deviceName(link.stream), link.stream, tlp.pasid, this.frame, this.witness, false);
      smmu.memory.read(this.frame * PAGE + tlp.offset, data);
    }
    if (this.stepwise) smmu.inFlight.end(ticket);
    if (status !== 'held') yield* this.complete(link, tlp, status, data);
  }

  /** The stepwise gait: the access to memory is a step of its own, with the translation in hand. */
  *reach(tlp: DataWrite | DataRead, write: boolean): Coroutine<void> {
    const { frame, witness } = this;
    if (this.smmu.kernel.at(Math.floor((frame * PAGE + tlp.offset) / 8), write)) yield PREEMPT;
    this.frame = frame;
    this.witness = witness;
  }

  /** The completion of a read, or of a write that wants one. */
  complete(link: Link, tlp: DataWrite | DataRead, status: CompletionStatus, data: Uint8Array): Step<void> {
    const { tag } = tlp;
    return tag === undefined ? this.smmu.kernel.done(undefined) : link.down({ kind: 'completion', tag, status, data });
  }

  // ── what was stalled ───────────────────────────────────────────────────────────────────────────────────────────

  /** Runs a transaction that was stalled as if it had just arrived. */
  again(link: Link, tlp: DataWrite | DataRead): Coroutine<void> {
    return tlp.kind === 'write' ? this.writeAndAnswer(link, tlp, true) : this.read(link, tlp, true);
  }

  /** Ends a transaction that was stalled: with an abort, or as if it had been done (reads give zeros). */
  *end(link: Link, tlp: DataWrite | DataRead, action: StallAction): Coroutine<void> {
    if (action === STALL_ACTION.ABORT) return yield* this.complete(link, tlp, 'ca', NOTHING);
    const bytes = tlp.kind === 'read' ? Math.min(Math.max(Math.floor(tlp.bytes), 0), PAGE - tlp.offset) : 0;
    yield* this.complete(link, tlp, 'ok', new Uint8Array(bytes));
  }

  // ── which frame ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Finds the frame of an access and its witness, or records why there is none. */
  judge(link: Link, tlp: DataWrite | DataRead, write: boolean, again: boolean): Verdict {
    if (!sane(tlp)) return this.abort(EVENT.F_UUT, link, tlp, write);
    if (tlp.at === AT.TRANSLATED) return this.translated(link, tlp, write);
    if (tlp.at !== AT.UNTRANSLATED) return this.abort(EVENT.F_UUT, link, tlp, write);
    if (link.stalls === true && this.queued(link, tlp, again)) return 'held';
    const { translator } = this.smmu;
    const want = wantOf(tlp, write);
    const granted = translator.translate(link.stream, tlp.pasid, tlp.page, want, this.translation);
    return granted ? this.granted() : this.refused(link, tlp, write, again);
  }

  /** {@link judge} in the stepwise gait: the walk yields between the pieces of what it fetches. */
  *judgeSteps(
    link: Link,
    tlp: DataWrite | DataRead,
    write: boolean,
    again: boolean,
    ticket: number,
  ): Coroutine<Verdict> {
    if (!sane(tlp)) return this.abort(EVENT.F_UUT, link, tlp, write);
    if (tlp.at === AT.TRANSLATED && this.checks) return yield* this.translatedSteps(link, tlp, write, ticket);
    if (tlp.at !== AT.UNTRANSLATED) return this.judge(link, tlp, write, again);
    if (link.stalls === true && this.queued(link, tlp, again)) return 'held';
    const { translator } = this.smmu;
    const want = wantOf(tlp, write);
    const { translation } = this;
    const granted = yield* translator.translateSteps(link.stream, tlp.pasid, tlp.page, want, translation, ticket);
    return granted ? this.granted() : this.refused(link, tlp, write, again);
  }

  /** The access has to wait behind one that is stalled. */
  queued(link: Link, tlp: DataWrite | DataRead, again: boolean): boolean {
    const { stalls } = this.smmu;
    return stalls.busy && stalls.queue(link, tlp, again);
  }

  /** AT=2: allowed while SMMUEN=1; with CR0.ATSCHK only if the STE allows ATS (5.3). */
  translated(link: Link, tlp: DataWrite | DataRead, write: boolean): Verdict {
    const { registers, fetcher } = this.smmu;
    if (!registers.enabled) return this.abort(EVENT.F_TRANSL_FORBIDDEN, link, tlp, write);
    if (registers.atsCheck) {
      const eats = fetcher.eats(link.stream);
      if (eats <= EATS.ABORT) return this.forbidden(link, tlp, write, eats, fetcher.reason, fetcher.address);
    }
    this.frame = tlp.page;
    this.witness = tlp.witness;
    return 'go';
  }

  /** Translated traffic is checked against the STE. */
  get checks(): boolean {
    return this.smmu.registers.enabled && this.smmu.registers.atsCheck;
  }

  /** {@link translated} in the stepwise gait, where there is an STE to fetch. */
  *translatedSteps(link: Link, tlp: DataWrite | DataRead, write: boolean, ticket: number): Coroutine<Verdict> {
    const fetch = new ConfigFetch();
    fetch.stream = link.stream;
    fetch.ticket = ticket;
    const eats = yield* this.smmu.fetcher.eatsSteps(fetch);
    if (eats <= EATS.ABORT) return this.forbidden(link, tlp, write, eats, fetch.reason, fetch.address);
    this.frame = tlp.page;
    this.witness = tlp.witness;
    return 'go';
  }

  /** Translated traffic that the STE does not allow, or (eats < 0) whose STE is broken. */
  forbidden(
    link: Link,
    tlp: DataWrite | DataRead,
    write: boolean,
    eats: number,
    reason: number,
    address: number,
  ): Verdict {
    if (eats === EATS.ABORT) return this.abort(EVENT.F_TRANSL_FORBIDDEN, link, tlp, write);
    this.smmu.events.reportAts(reason, this.accessOf(link, tlp, write, false, false), address);
    return 'abort';
  }

  /** AT=0: the translation is at hand. */
  granted(): Verdict {
    this.frame = this.translation.frame;
    this.witness = this.smmu.translator.witness;
    return 'go';
  }

  /**
   * A translation that failed. Faults of the tables stall with CD.S where the device can be held back, and are always recorded
   * then; else CD.A and CD.R decide. Errors of the configuration are recorded and abort.
   */
  refused(link: Link, tlp: DataWrite | DataRead, write: boolean, again: boolean): Verdict {
    const { translator } = this.smmu;
    const { reason } = translator;
    if (reason === 0) return 'abort';
    const governed = STALLABLE_FAULTS.includes(reason) && translator.translates;
    const flags = governed ? translator.controls : FLAG.RECORD | FLAG.ABORT;
    const stalls = (flags & FLAG.STALL) !== 0;
    const { privileged, instruction, atStage2 } = translator;
    const access = { ...this.accessOf(link, tlp, write, privileged, instruction), stage2: atStage2 };
    if (stalls && this.canStall(link) && this.smmu.stalls.stall({ link, tlp }, reason, access, again)) return 'held';
    // With CD.S the fault is recorded whatever CD.R says, also where it cannot stall.
    if (stalls || (flags & FLAG.RECORD) !== 0) this.smmu.events.report(reason, access, translator.fetchAddress);
    return (flags & FLAG.ABORT) !== 0 ? 'abort' : 'ignore';
  }

  /** FEAT-5: transactions of PCI Express functions must never be held back. */
  canStall(link: Link): boolean {
    return link.stalls === true;
  }

  /** Records what is wrong with an access as it came, before the STE says anything about it. */
  abort(reason: number, link: Link, tlp: DataWrite | DataRead, write: boolean): Verdict {
    this.smmu.events.report(reason, this.accessOf(link, tlp, write, tlp.priv === true, false));
    return 'abort';
  }

  /** What an event record says about an access; `privileged` and `exec` after STE.PRIVCFG and INSTCFG. */
  accessOf(link: Link, tlp: DataWrite | DataRead, write: boolean, privileged: boolean, exec: boolean): Access {
    const { page, pasid, offset } = tlp;
    return { stream: link.stream, ssid: pasid, page, offset: offset & 0xfff, write, privileged, exec };
  }

  /** Declares the words of the access to whoever listens: the point before it named only the caches. */
  touch(offset: number, bytes: number, write: boolean): void {
    const { kernel } = this.smmu;
    if (kernel.listener === null) return;
    const first = Math.floor((this.frame * PAGE + offset) / 8);
    const last = Math.floor((this.frame * PAGE + offset + bytes - 1) / 8);
    for (let word = first; word <= last; word++) kernel.touch(word, write);
  }
}

/** What a device sent can be an access at all: within a page, of an address that exists. */
function sane(tlp: DataWrite | DataRead): boolean {
  const { page, offset, pasid } = tlp;
  return (offset & 0xfff) === offset && page >= 0 && page < PAGES && Math.floor(page) === page && (pasid | 0) === pasid;
}

/** Only a PASID's prefix can say that a request is privileged. */
function wantOf({ pasid, priv }: DataWrite | DataRead, write: boolean): number {
  return (write ? WANT.WRITE : WANT.READ) | (priv === true && pasid >= 0 ? WANT_PRIVILEGED : 0);
}
