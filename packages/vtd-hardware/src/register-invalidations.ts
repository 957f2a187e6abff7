import type { Coroutine, Task } from '@iommukit/kernel';
import { CCMD, CONTEXT_GRANULARITY, IOTLB, IOTLB_GRANULARITY, IVA, TTM } from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';
import { spanOf } from './iotlb-invalidations.js';

/** VER.MAX from which register-based context invalidation is gone (vtd.md 1.6). */
const WITHOUT_REGISTERS = 6;

/**
 * Register-based invalidation (vtd.md 1.6, 1.7): legacy mode with the queue off. Where it is not legal, nothing is dropped, and the
 * granularity that was done reads 0. The busy bit goes when no transaction uses what was dropped.
 */
export class RegisterInvalidations {
  readonly vtd: Vtd;
  readonly task: Task;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    this.task = vtd.kernel.daemon('vtd-invalidate', () => this.work());
  }

  /** CCMD was written with ICC=1. */
  context(): void {
    this.vtd.kernel.kick(this.task);
  }

  /** IOTLB was written with IVT=1. */
  iotlb(): void {
    this.vtd.kernel.kick(this.task);
  }

  /** The unit does what the registers ask. */
  get legal(): boolean {
    const { registers, capabilities } = this.vtd;
    return registers.ttm === TTM.LEGACY && !registers.queueing && capabilities.version < WITHOUT_REGISTERS;
  }

  *work(): Coroutine<void> {
    const { kernel, footprint, registers } = this.vtd;
    yield* kernel.point(footprint, true);
    if ((registers.get(CCMD.offset + 4) & CCMD.f.icc.maskHi) !== 0) {
      const done = this.legal ? this.dropContexts() : CONTEXT_GRANULARITY.NONE;
      yield* this.drain();
      this.finish(CCMD.offset + 4, CCMD.f.icc.maskHi, CCMD.f.caig, done);
    }
    const at = registers.iotlbAt + 4;
    if ((registers.get(at) & IOTLB.f.ivt.maskHi) === 0) return;
    const done = this.legal ? this.dropTranslations() : IOTLB_GRANULARITY.NONE;
    yield* this.drain();
    this.finish(at, IOTLB.f.ivt.maskHi, IOTLB.f.iaig, done);
  }

  /** Drops what CCMD says. @returns CAIG */
  dropContexts(): number {
    const { registers, configurationInvalidations } = this.vtd;
    const [lo, hi] = [registers.get(CCMD.offset), registers.get(CCMD.offset + 4)];
    const { cirg, did, sid, fm } = CCMD.f;
    const granularity = cirg.of(lo, hi);
    if (granularity === CONTEXT_GRANULARITY.NONE) return granularity;
    configurationInvalidations.dropContexts(granularity, did.of(lo, hi), sid.of(lo, hi), fm.of(lo, hi));
    return granularity;
  }

  /** Drops what IOTLB and IVA say. @returns IAIG: 0 for AM > MAMV; a unit without PSI drops the domain in place of pages */
  dropTranslations(): number {
    const { registers, capabilities, iotlbInvalidations } = this.vtd;
    const [lo, hi] = [registers.get(registers.iotlbAt), registers.get(registers.iotlbAt + 4)];
    const { iirg, did, dr, dw } = IOTLB.f;
    let granularity = iirg.of(lo, hi);
    if (granularity === IOTLB_GRANULARITY.NONE) return granularity;
    const [ivaLo, ivaHi] = [registers.get(registers.ivaAt), registers.get(registers.ivaAt + 4)];
    const am = IVA.f.am.of(ivaLo, ivaHi);
    if (granularity === IOTLB_GRANULARITY.PAGE) {
      if (!capabilities.psi) granularity = IOTLB_GRANULARITY.DOMAIN;
      else if (am > capabilities.mamv) return IOTLB_GRANULARITY.NONE;
    }
    const span = spanOf(ivaHi * 2 ** 20 + (ivaLo >>> 12), am);
    iotlbInvalidations.drop(granularity, did.of(lo, hi), span, IVA.f.ih.of(ivaLo, ivaHi) === 1);
    iotlbInvalidations.drained(dr.of(lo, hi) === 1, dw.of(lo, hi) === 1);
    return granularity;
  }

  /** Waits until no transaction uses what was dropped. */
  *drain(): Coroutine<void> {
    const { kernel, inFlight } = this.vtd;
    const bounds = inFlight.bounds();
    if (inFlight.through(bounds)) return;
    yield* kernel.until(inFlight.footprint, () => inFlight.through(bounds), 'old walks to end');
  }

  /** The busy bit goes, and what was done is there. */
  finish(at: number, busy: number, field: { readonly maskHi: number; readonly shift: number }, done: number): void {
    const { registers } = this.vtd;
    const value = (registers.get(at) & ~(busy | field.maskHi)) | (done << (field.shift % 32));
    registers.put(at, value >>> 0);
  }
}
