import { type Coroutine, PREEMPT, type Step } from '@iommukit/kernel';
import {
  AT,
  type CompletionStatus,
  type Link,
  type Translation,
  type Upstream,
  WANT_PRIVILEGED,
} from '@iommukit/pci-ats';
import { ADMIT } from './config-fetch.js';
import type { Vtd } from './device.js';
import type { Access } from './faults.js';
import { FLIGHT } from './in-flight.js';

/** A data access as it arrives. */
export type DataWrite = Extract<Upstream, { kind: 'write' }>;
export type DataRead = Extract<Upstream, { kind: 'read' }>;

const WANT = { READ: 1, WRITE: 2 } as const;
const PAGE = 4096;
const NOTHING = new Uint8Array(0);
/** The first page beyond the address range: what devices send is not trusted. */
const PAGES = 2 ** 52;
/** Pages of the interrupt range 0xfee00000 to 0xfeefffff (vtd.md 2.13). */
const INTERRUPTS = { first: 0xfee00, last: 0xfeeff } as const;

/** What becomes of an access: done in memory, an interrupt message, or aborted. */
type Verdict = 'go' | 'interrupt' | 'abort';

/**
 * Data accesses of devices: translated ones (AT=2) are checked, others translated; then memory is read or written. In the atomic
 * gait each is one step; in the stepwise gait the walk and the access are steps of their own. What is wrong with an access is
 * non-recoverable (vtd.md 5.3): recorded, and aborted with Unsupported Request.
 */
export class DataAccesses {
  readonly vtd: Vtd;
  readonly stepwise: boolean;
  readonly translation: Translation = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
  /** Frame of the access that was judged last, and its generation when it was translated. */
  frame = 0;
  witness = 0;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    this.stepwise = vtd.capabilities.gait === 'stepwise';
  }

  // ── writes ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A write. Posted (without a tag): what is wrong with it is recorded, and nobody is told. */
  write(link: Link, tlp: DataWrite): Step<void> {
    const { kernel, footprint } = this.vtd;
    if (tlp.tag !== undefined || this.stepwise) return this.writeAndAnswer(link, tlp);
    if (kernel.at(footprint, false)) return this.storeLater(link, tlp);
    this.store(link, tlp);
    return kernel.done(undefined);
  }

  // A closure in the method above would cost an allocation at every write.
  storeLater(link: Link, tlp: DataWrite): Step<void> {
    return this.vtd.kernel.pending(() => {
      this.store(link, tlp);
    });
  }

  /** A write that is answered if it has a tag. */
  *writeAndAnswer(link: Link, tlp: DataWrite): Coroutine<void> {
    const { kernel, footprint } = this.vtd;
    if (kernel.at(footprint, false)) yield PREEMPT;
    const status = this.stepwise ? yield* this.storeSteps(link, tlp) : this.store(link, tlp);
    yield* this.complete(link, tlp, status, NOTHING);
  }

  store(link: Link, tlp: DataWrite): CompletionStatus {
    if (tlp.data.length === 0) return 'ok';
    return this.finish(link, tlp, this.judge(link, tlp, true));
  }

  *storeSteps(link: Link, tlp: DataWrite): Coroutine<CompletionStatus> {
    if (tlp.data.length === 0) return 'ok';
    const { inFlight } = this.vtd;
    const ticket = inFlight.begin(FLIGHT.WRITE);
    const verdict = yield* this.judgeSteps(link, tlp, true, ticket);
    if (verdict === 'go') yield* this.reach(tlp, true);
    const status = this.finish(link, tlp, verdict);
    inFlight.end(ticket);
    return status;
  }

  finish(link: Link, tlp: DataWrite, verdict: Verdict): CompletionStatus {
    if (verdict === 'abort') return 'ur';
    return verdict === 'go' ? this.put(link, tlp) : this.interrupt(tlp);
  }

  /** Writes to {@link frame}. Beyond RAM a write is lost. */
  put(link: Link, tlp: DataWrite): CompletionStatus {
    const { vtd } = this;
    const bytes = tlp.data.length <= PAGE - tlp.offset ? tlp.data : tlp.data.subarray(0, PAGE - tlp.offset);
    this.touch(tlp.offset, bytes.length, true);
    vtd.kernel.observer.dma(vtd.deviceName(link.stream), link.stream, tlp.pasid, this.frame, this.witness, true);
    vtd.memory.write(this.frame * PAGE + tlp.offset, bytes);
    return tlp.tag === undefined || vtd.memory.indexOf(this.frame) >= 0 ? 'ok' : 'ur';
  }

  /** A message signalled interrupt: it goes to whatever takes it on the bus. Interrupt remapping is not modelled. */
  interrupt(tlp: DataWrite): CompletionStatus {
    const { bus } = this.vtd;
    const pa = tlp.page * PAGE + tlp.offset;
    if (tlp.data.length !== 4 || pa % 4 !== 0) return 'ur';
    if (bus.claimOf(pa)?.widths.includes(4) === true)
      bus.store32(pa, new DataView(tlp.data.buffer, tlp.data.byteOffset).getUint32(0, true));
    return 'ok';
  }

  // ── reads ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A read: answered with the data, or an abort. */
  *read(link: Link, tlp: DataRead): Coroutine<void> {
    const { kernel, footprint, inFlight } = this.vtd;
    if (kernel.at(footprint, false)) yield PREEMPT;
    const ticket = this.stepwise ? inFlight.begin(FLIGHT.READ) : 0;
    const verdict = this.stepwise ? yield* this.judgeSteps(link, tlp, false, ticket) : this.judge(link, tlp, false);
    if (this.stepwise && verdict === 'go') yield* this.reach(tlp, false);
    const data = verdict === 'go' ? this.get(link, tlp) : null;
    if (this.stepwise) inFlight.end(ticket);
    yield* this.complete(link, tlp, data === null ? 'ur' : 'ok', data ?? NOTHING);
  }

  /** Reads from {@link frame}; null beyond RAM. */
  get(link: Link, tlp: DataRead): Uint8Array | null {
    const { vtd } = this;
    if (vtd.memory.indexOf(this.frame) < 0) return null;
    const data = new Uint8Array(Math.min(Math.max(Math.floor(tlp.bytes), 0), PAGE - tlp.offset));
    this.touch(tlp.offset, data.length, false);
    vtd.kernel.observer.dma(vtd.deviceName(link.stream), link.stream, tlp.pasid, this.frame, this.witness, false);
    vtd.memory.read(this.frame * PAGE + tlp.offset, data);
    return data;
  }

  // ── both ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The step between the translation and the access: others may judge theirs meanwhile. */
  *reach(tlp: DataWrite | DataRead, write: boolean): Coroutine<void> {
    const { frame, witness } = this;
    if (this.vtd.kernel.at(Math.floor((frame * PAGE + tlp.offset) / 8), write)) yield PREEMPT;
    this.frame = frame;
    this.witness = witness;
  }

  /** The completion of a read, or of a write that wants one. */
  complete(link: Link, tlp: DataWrite | DataRead, status: CompletionStatus, data: Uint8Array): Step<void> {
    const { tag } = tlp;
    return tag === undefined ? this.vtd.kernel.done(undefined) : link.down({ kind: 'completion', tag, status, data });
  }

  /** Finds the frame of an access and its witness, or records why there is none. */
  judge(link: Link, tlp: DataWrite | DataRead, write: boolean): Verdict {
    if (!sane(tlp)) return 'abort';
    if (tlp.at === AT.TRANSLATED) return this.translated(link, tlp, write);
    if (tlp.at !== AT.UNTRANSLATED) return 'abort';
    if (isInterrupt(tlp)) return write ? 'interrupt' : 'abort';
    const { translator } = this.vtd;
    const want = wantOf(tlp, write);
    const granted = translator.translate(link.stream, tlp.pasid, tlp.page, want, this.translation);
    return granted ? this.granted() : this.refused(link, tlp, write);
  }

  /** {@link judge} in the stepwise gait: the walk yields between the pieces of what it fetches. */
  *judgeSteps(link: Link, tlp: DataWrite | DataRead, write: boolean, ticket: number): Coroutine<Verdict> {
    if (!sane(tlp)) return 'abort';
    if (tlp.at === AT.TRANSLATED) return yield* this.translatedSteps(link, tlp, write, ticket);
    if (tlp.at !== AT.UNTRANSLATED) return 'abort';
    if (isInterrupt(tlp)) return write ? 'interrupt' : 'abort';
    const { translator } = this.vtd;
    const want = wantOf(tlp, write);
    const { translation } = this;
    const granted = yield* translator.translateSteps(link.stream, tlp.pasid, tlp.page, want, translation, ticket);
    return granted ? this.granted() : this.refused(link, tlp, write);
  }

  /** AT=2: root, context, DTE (0x44) or TT (0x0d) are checked, and nothing else (5.3). Nothing is translated already while TE=0. */
  translated(link: Link, tlp: DataWrite | DataRead, write: boolean): Verdict {
    const { translator, registers } = this.vtd;
    if (!registers.translating) return 'abort';
    const reason = translator.admit(link.stream, tlp.pasid, ADMIT.TRANSLATED);
    return this.admitted(link, tlp, write, reason);
  }

  /** {@link translated} in the stepwise gait. */
  *translatedSteps(link: Link, tlp: DataWrite | DataRead, write: boolean, ticket: number): Coroutine<Verdict> {
    const { translator, registers } = this.vtd;
    if (!registers.translating) return 'abort';
    const reason = yield* translator.admitSteps(link.stream, tlp.pasid, ADMIT.TRANSLATED, ticket);
    return this.admitted(link, tlp, write, reason);
  }

  admitted(link: Link, tlp: DataWrite | DataRead, write: boolean, reason: number): Verdict {
    if (reason !== 0) return this.abort(reason, link, tlp, write);
    this.frame = tlp.page;
    this.witness = tlp.witness;
    return 'go';
  }

  /** AT=0: the translation is at hand. */
  granted(): Verdict {
    this.frame = this.translation.frame;
    this.witness = this.vtd.translator.witness;
    return 'go';
  }

  /** AT=0: a translation that failed. Reason 0: nothing that a fault record is made of. */
  refused(link: Link, tlp: DataWrite | DataRead, write: boolean): Verdict {
    const { reason } = this.vtd.translator;
    return reason === 0 ? 'abort' : this.abort(reason, link, tlp, write);
  }

  /** Records why an access is refused, unless an FPD suppresses it. */
  abort(reason: number, link: Link, tlp: DataWrite | DataRead, write: boolean): Verdict {
    const { faults, translator } = this.vtd;
    faults.record(reason, accessOf(link, tlp, write), translator.suppressed);
    return 'abort';
  }

  /** Declares the words of the access to whoever listens: the point before it named only the caches. */
  touch(offset: number, bytes: number, write: boolean): void {
    const { kernel } = this.vtd;
    if (kernel.listener === null) return;
    const first = Math.floor((this.frame * PAGE + offset) / 8);
    const last = Math.floor((this.frame * PAGE + offset + bytes - 1) / 8);
    for (let word = first; word <= last; word++) kernel.touch(word, write);
  }
}

/** What a fault record says about an access. Data accesses on a link are no instruction fetches. */
function accessOf(link: Link, { page, pasid, priv, at }: DataWrite | DataRead, write: boolean): Access {
  return { stream: link.stream, pasid, page, kind: write ? 'write' : 'read', priv: priv === true, exec: false, at };
}

function wantOf({ priv }: DataWrite | DataRead, write: boolean): number {
  return (write ? WANT.WRITE : WANT.READ) | (priv === true ? WANT_PRIVILEGED : 0);
}

/** An untranslated request without PASID to the interrupt range (vtd.md 2.13). */
function isInterrupt({ page, pasid }: DataWrite | DataRead): boolean {
  return pasid < 0 && page >= INTERRUPTS.first && page <= INTERRUPTS.last;
}

/** What a device sent can be an access at all: within a page, of an address that exists. */
function sane(tlp: DataWrite | DataRead): boolean {
  const { page, offset, pasid } = tlp;
  return (offset & 0xfff) === offset && page >= 0 && page < PAGES && Math.floor(page) === page && (pasid | 0) === pasid;
}
