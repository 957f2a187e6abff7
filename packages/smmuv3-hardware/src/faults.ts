import type { Kernel } from '@iommukit/kernel';
import {
  CONFIGURATION_ERRORS,
  EVENT,
  EVENT_BYTES,
  EVENT_CLASS,
  EVENTQ_BASE,
  EVENTQ_CONS,
  EVENTQ_PROD,
  EventHeader,
  FaultEvent,
  FCdFetch,
  FTranslForbidden,
  FWalkEabt,
  STE,
} from '@iommukit/smmuv3-spec';
import type { SmmuV3 } from './device.js';
import { SOURCE } from './interrupts.js';
import { OutputQueue } from './output-queue.js';
import { GERROR_BIT } from './register-map.js';

/** What an event record says about the access that caused it. */
export interface Access {
  readonly stream: number;
  /** -1 without one. */
  readonly ssid: number;
  /** Byte address / 4096, and the rest. */
  readonly page: number;
  readonly offset: number;
  readonly write: boolean;
  readonly privileged: boolean;
  readonly exec: boolean;
  /** Stage 2 refused it, and not what comes before. */
  readonly stage2?: boolean;
}

/** The 32-bit word of a record that has the offset within the page of the input address. */
const INPUT_ADDR = FaultEvent.f.inputAddr.word;

const PAGE = 4096;
const NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(EVENT).map(([name, id]) => [id, name]),
);

/** The event queue (smmuv3.md 5.1, 5.2, 5.6): composes records and writes them. One record is one step. */
export class EventQueue extends OutputQueue {
  readonly kernel: Kernel;
  readonly record = new Uint32Array(EVENT_BYTES / 4);

  constructor(smmu: SmmuV3) {
    super(smmu, {
      base: EVENTQ_BASE,
      prod: EVENTQ_PROD.offset,
      cons: EVENTQ_CONS.offset,
      entryBytes: EVENT_BYTES,
      maxBits: smmu.capabilities.eventqBits,
      abortError: GERROR_BIT.EVENTQ_ABT_ERR,
      source: SOURCE.EVENTQ,
    });
    this.kernel = smmu.kernel;
  }

  /**
   * Reports event `id` about an access that is terminated (Stall = 0); C_BAD_STREAMID is recorded only with CR2.RECINVSID. Returns
   * true if there is a record of it now.
   */
  report(id: number, access: Access, fetchAddress = 0): boolean {
    if (id === EVENT.C_BAD_STREAMID && !this.smmu.registers.recordsBadStream) return false;
    this.kernel.observer.event(this.smmu.name, access.stream, access.ssid, NAMES[id], false);
    this.compose(id, access, fetchAddress);
    return this.merges(access.stream) || this.write();
  }

  /** Reports a configuration or fetch error of ATS traffic, which is recorded only with CR2.REC_CFG_ATS (5.3). 0: nothing to report. */
  reportAts(id: number, access: Access, fetchAddress: number): boolean {
    return id !== 0 && this.smmu.registers.recordsAtsErrors && this.report(id, access, fetchAddress);
  }

  /** Records a stall. False: the queue takes nothing now; the record is written later, and is no overflow (5.4). */
  reportStall(id: number, access: Access, stag: number): boolean {
    if (!this.writable || this.ring.full) return false;
    this.compose(id, access, 0);
    FaultEvent.f.stall.set(this.record, 1);
    FaultEvent.f.stag.set(this.record, stag);
    if (!this.append(this.record)) return false;
    this.kernel.observer.event(this.smmu.name, access.stream, access.ssid, NAMES[id], true);
    return true;
  }

  /** The queue is on, and no abort of it is unacknowledged. */
  get writable(): boolean {
    return this.smmu.registers.eventqEnabled && !this.aborted;
  }

  /**
   * {@link record} is merged into the one before: with STE.MEV, while that one is still in the queue, and if they differ in the
   * offset within the page only (5.3). Without MEV nothing is merged.
   */
  merges(stream: number): boolean {
    const { ring, record, smmu } = this;
    if (!this.writable || ring.empty) return false;
    const ste = smmu.config.findSte(stream);
    if (ste < 0 || STE.f.mev.get(smmu.config.stes, ste) === 0) return false;
    const pa = ring.address(ring.before(ring.prod));
    for (let i = 0; i < record.length; i++) {
      const differing = smmu.memory.load32(pa + i * 4) ^ record[i];
      if ((i === INPUT_ADDR ? differing >>> 12 : differing) !== 0) return false;
    }
    return true;
  }

  /** Writes {@link record}; a full queue loses it, and says so by OVFLG. */
  write(): boolean {
    if (!this.writable) return false;
    if (this.ring.full) {
      this.smmu.registers.overflow(this.ring.prodAt, this.ring.consAt);
      return false;
    }
    return this.append(this.record);
  }

  compose(id: number, access: Access, fetchAddress: number): void {
    const { record } = this;
    record.fill(0);
    const { eventId, sid } = EventHeader.f;
    eventId.set(record, id);
    sid.set(record, access.stream);
    this.composeSsid(id, access.ssid);
    if (id === EVENT.F_STE_FETCH || id === EVENT.F_CD_FETCH) this.composeFetch(fetchAddress);
    if (CONFIGURATION_ERRORS.includes(id)) return;
    const hi = Math.floor(access.page / 0x100000);
    FaultEvent.f.inputAddr.setLoHi(record, (((access.page % 0x100000) * 4096) | access.offset) >>> 0, hi >>> 0);
    if (id === EVENT.F_BAD_ATS_TREQ) return;
    FTranslForbidden.f.rnw.set(record, access.write ? 0 : 1);
    if (id === EVENT.F_TRANSL_FORBIDDEN) return;
    const { pnu, ind } = FaultEvent.f;
    pnu.set(record, access.privileged ? 1 : 0);
    ind.set(record, access.exec && !access.write ? 1 : 0);
    if (id === EVENT.F_UUT) return;
    FaultEvent.f.class.set(record, id === EVENT.F_WALK_EABT ? EVENT_CLASS.TT : EVENT_CLASS.IN);
    if (id === EVENT.F_WALK_EABT) FWalkEabt.f.fetchAddr.set(record, fetchAddress - (fetchAddress % 8));
    if (access.stage2 === true) this.composeStage2(id, access.page);
  }

  /** A fault at stage 2 while the input address was translated: S2, CLASS, and the IPA where the record has one (5.2). */
  composeStage2(id: number, page: number): void {
    const { s2, class: translated, ipa } = FaultEvent.f;
    s2.set(this.record, 1);
    translated.set(this.record, EVENT_CLASS.IN);
    if (id !== EVENT.F_WALK_EABT) ipa.set(this.record, page * PAGE);
  }

  /** SSV and SSID, where the event has them: F_STREAM_DISABLED has neither, C_BAD_SUBSTREAMID no SSV. */
  composeSsid(id: number, ssid: number): void {
    const { ssv, ssid: field } = EventHeader.f;
    if (id === EVENT.F_STREAM_DISABLED || ssid < 0) return;
    field.set(this.record, (ssid >>> 0) % 2 ** field.width);
    if (id !== EVENT.C_BAD_SUBSTREAMID) ssv.set(this.record, 1);
  }

  composeFetch(address: number): void {
    FCdFetch.f.fetchAddr.set(this.record, address - (address % 8));
  }
}
