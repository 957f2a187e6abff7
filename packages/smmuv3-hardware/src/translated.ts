import { type Coroutine, PREEMPT, type Step } from '@iommukit/kernel';
import { AT, type CompletionStatus, type Link, type Translation, type Upstream } from '@iommukit/pci-ats';
import { EATS, EVENT, STALLABLE_FAULTS } from '@iommukit/smmuv3-spec';
import { FLAG, NUMBER } from './config-cache.js';
import type { SmmuV3 } from './device.js';

/** A data access as it arrives. */
export type DataWrite = Extract<Upstream, { kind: 'write' }>;
export type DataRead = Extract<Upstream, { kind: 'read' }>;

const WANT = { READ: 1, WRITE: 2 } as const;
const PAGE = 4096;
const NOTHING = new Uint8Array(0);

/** What becomes of an access: done in memory, aborted, or (CD.A = 0) as if it had been done. */
type Verdict = 'go' | 'abort' | 'ignore';

/** Data accesses of devices: translated ones (AT=2) are checked, others translated; then memory is read or written in one step. */
export class DataAccesses {
  readonly smmu: SmmuV3;
  readonly translation: Translation = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
  /** Frame of the access under way, and its generation when it was translated. */
  frame = 0;
  witness = 0;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
  }

  /** A posted write: what is wrong with it is recorded, and nobody is told. */
  write(link: Link, tlp: DataWrite): Step<void> {
    const { kernel, footprint } = this.smmu;
    return kernel.at(footprint, false) ? this.storeLater(link, tlp) : kernel.done(this.store(link, tlp));
  }

  // A closure in the method above would cost an allocation at every write.
  storeLater(link: Link, tlp: DataWrite): Step<void> {
    return this.smmu.kernel.pending(() => this.store(link, tlp));
  }

  store(link: Link, tlp: DataWrite): void {
    const { smmu } = this;
    if (tlp.data.length === 0 || this.judge(link, tlp, true) !== 'go') return;
    const bytes = tlp.data.length <= PAGE - tlp.offset ? tlp.data : tlp.data.subarray(0, PAGE - tlp.offset);
    this.touch(tlp.offset, bytes.length, true);
    smmu.kernel.observer.dma(smmu.deviceName(link.stream), link.stream, tlp.pasid, this.frame, this.witness, true);
    smmu.memory.write(this.frame * PAGE + tlp.offset, bytes);
  }

  /** A read: answered with the data, zeros, or an abort. */
  *read(link: Link, tlp: DataRead): Coroutine<void> {
    const { smmu } = this;
    if (smmu.kernel.at(smmu.footprint, false)) yield PREEMPT;
    const verdict = this.judge(link, tlp, false);
    const bytes = Math.min(Math.max(Math.floor(tlp.bytes), 0), PAGE - tlp.offset);
    let status: CompletionStatus = 'ok';
    let data: Uint8Array = NOTHING;
    if (verdict === 'abort') status = 'ca';
    else if (verdict === 'go' && smmu.memory.indexOf(this.frame) < 0) status = 'ur';
    else data = new Uint8Array(bytes);
    if (verdict === 'go' && status === 'ok') {
      this.touch(tlp.offset, bytes, false);
      smmu.kernel.observer.dma(smmu.deviceName(link.stream), link.stream, tlp.pasid, this.frame, this.witness, false);
      smmu.memory.read(this.frame * PAGE + tlp.offset, data);
    }
    yield* link.down({ kind: 'completion', tag: tlp.tag, status, data });
  }

  /** Finds the frame of an access and its witness, or records why there is none. */
  judge(link: Link, tlp: DataWrite | DataRead, write: boolean): Verdict {
    if (!(tlp.offset >= 0 && tlp.offset < PAGE)) return this.abort(EVENT.F_UUT, link, tlp, write);
    if (tlp.at === AT.TRANSLATED) return this.translated(link, tlp, write);
    if (tlp.at === AT.UNTRANSLATED) return this.untranslated(link, tlp, write);
    return this.abort(EVENT.F_UUT, link, tlp, write);
  }

  /** AT=2: allowed while SMMUEN=1; with CR0.ATSCHK only if the STE allows ATS (5.3). */
  translated(link: Link, tlp: DataWrite | DataRead, write: boolean): Verdict {
    const { registers, fetcher } = this.smmu;
    if (!registers.enabled) return this.abort(EVENT.F_TRANSL_FORBIDDEN, link, tlp, write);
    if (registers.atsCheck) {
      const eats = fetcher.eats(link.stream);
      if (eats < 0) return 'abort';
      if (eats === EATS.ABORT) return this.abort(EVENT.F_TRANSL_FORBIDDEN, link, tlp, write);
    }
    this.frame = tlp.page;
    this.witness = tlp.witness;
    return 'go';
  }

  /** AT=0: translated here. */
  untranslated(link: Link, tlp: DataWrite | DataRead, write: boolean): Verdict {
    const { translator, iotlb } = this.smmu;
    const { translation } = this;
    const want = write ? WANT.WRITE : WANT.READ;
    if (!translator.translate(link.stream, tlp.pasid, tlp.page, want, translation))
      return this.refused(link, tlp, write);
    this.frame = translation.frame;
    const { line } = translator;
    this.witness = line >= 0 && iotlb.lines.order[line] === 0 ? iotlb.lines.generation[line] : 0;
    return 'go';
  }

  /** A translation that failed: CD.A and CD.R decide about faults of the tables, nothing about errors of the configuration. */
  refused(link: Link, tlp: DataWrite | DataRead, write: boolean): Verdict {
    const { translator, config } = this.smmu;
    const { reason, context } = translator;
    if (reason === 0) return 'abort';
    const governed = STALLABLE_FAULTS.includes(reason) && translator.translates;
    const flags = governed ? config.numbers[context + NUMBER.FLAGS] : FLAG.RECORD | FLAG.ABORT;
    if ((flags & FLAG.RECORD) !== 0) this.abort(reason, link, tlp, write);
    return (flags & FLAG.ABORT) !== 0 ? 'abort' : 'ignore';
  }

  abort(reason: number, link: Link, tlp: DataWrite | DataRead, write: boolean): Verdict {
    const { page, pasid } = tlp;
    const access = {
      stream: link.stream,
      ssid: pasid,
      page,
      offset: tlp.offset & 0xfff,
      write,
      privileged: false,
      exec: false,
    };
    this.smmu.events.report(reason, access, this.smmu.translator.fetchAddress);
    return 'abort';
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
