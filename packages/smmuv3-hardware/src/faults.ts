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
}

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
   * Reports event `id` about an access that is terminated; C_BAD_STREAMID is recorded only with CR2.RECINVSID. Returns true if
   * the record was written. Only PCIe functions connect to this model, and those must not stall: Stall is always 0.
   */
  report(id: number, access: Access, fetchAddress = 0): boolean {
    if (id === EVENT.C_BAD_STREAMID && !this.smmu.registers.recordsBadStream) return false;
    this.kernel.observer.event(this.smmu.name, access.stream, access.ssid, NAMES[id], false);
    this.compose(id, access, fetchAddress);
    return this.write();
  }

  /** Writes {@link record}; a full queue loses it, and says so by OVFLG. */
  write(): boolean {
    if (!this.smmu.registers.eventqEnabled || this.aborted) return false;
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
  }

  /** SSV and SSID, where the event has them: F_STREAM_DISABLED has neither, C_BAD_SUBSTREAMID no SSV. */
  composeSsid(id: number, ssid: number): void {
    const { ssv, ssid: field } = EventHeader.f;
    if (id === EVENT.F_STREAM_DISABLED || ssid < 0) return;
    field.set(this.record, ssid % 2 ** field.width);
    if (id !== EVENT.C_BAD_SUBSTREAMID) ssv.set(this.record, 1);
  }

  composeFetch(address: number): void {
    FCdFetch.f.fetchAddr.set(this.record, address - (address % 8));
  }
}
