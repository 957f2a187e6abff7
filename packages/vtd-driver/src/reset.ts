import type { Coroutine } from '@iommukit/kernel';
import { GCMD, GCMD_LEVELS, GSTS, IQH, IQT, RTADDR, TTM } from '@iommukit/vtd-spec';
import type { Mode } from './settings.js';
import type { Vtd } from './vtd.js';

/** How long the hardware may take to acknowledge a command (ns). */
const ACK_LIMIT_NS = 1e9;

const ROOT_TYPE: Readonly<Record<Mode, number>> = { legacy: TTM.LEGACY, scalable: TTM.SCALABLE, ecs: TTM.EXTENDED };

/** Bits of GCMD that stay what they are until they are written again. */
type Level = 'te' | 'qie';
/** Bits of GCMD that start something. */
type Once = 'srtp' | 'wbf';

/** From whatever state the unit was left in to one that translates (VTD-1 … VTD-3). */
export class Reset {
  readonly vtd: Vtd;
  /** The level bits of GCMD as they were last written: it cannot be read (vtd.md 1.4). */
  readonly state = { gcmd: 0 };

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    vtd.kernel.checkpoints.keep(this.state);
  }

  *run(): Coroutine<void> {
    const { faults, pageRequests, takesRequests } = this.vtd;
    yield* this.stopWhatIsUnderWay();
    yield* this.startQueue();
    yield* faults.start();
    yield* this.setRoot();
    if (takesRequests) yield* pageRequests.start();
    yield* this.flushWriteBuffers();
    yield* this.level({ te: 1 });
  }

  /** A unit that translates already, or invalidates by queue, belongs to somebody who is gone (VTD-2). */
  *stopWhatIsUnderWay(): Coroutine<void> {
    const status = yield* this.vtd.mmio.read32(GSTS.offset);
    this.state.gcmd = (status & GCMD_LEVELS) >>> 0;
    if (GSTS.f.tes.of(status) === 1) yield* this.level({ te: 0 });
    if (GSTS.f.qies.of(status) === 0) return;
    yield* this.drainQueue();
    yield* this.level({ qie: 0 });
  }

  /** Bounded: a queue that stands at an error does not become empty. */
  *drainQueue(): Coroutine<void> {
    const { mmio, kernel } = this.vtd;
    const tail = yield* mmio.read32(IQT.offset);
    const word = Math.floor((mmio.base + IQH.offset) / 8);
    const empty = (): boolean => this.vtd.core.bus.load32(mmio.base + IQH.offset) === tail;
    yield* kernel.until(word, empty, 'an old invalidation queue to be drained', ACK_LIMIT_NS);
  }

  /** VTD-1. */
  *startQueue(): Coroutine<void> {
    yield* this.vtd.queue.program();
    yield* this.level({ qie: 1 });
  }

  /** VTD-3. */
  *setRoot(): Coroutine<void> {
    const { mmio, contexts, mode, features } = this.vtd;
    const [lo, hi] = RTADDR.make({ rta: contexts.state.root, ttm: ROOT_TYPE[mode] });
    yield* mmio.write64(RTADDR.offset, lo!, hi!);
    yield* this.once('srtp');
    if (!features.esrtps) yield* this.flushEverything();
  }

  /** Contexts, then PASIDs, then translations: each is made from the one before. */
  *flushEverything(): Coroutine<void> {
    const { invalidation, mode } = this.vtd;
    yield* invalidation.everyContext();
    if (mode !== 'legacy') yield* invalidation.everyPasid();
    yield* invalidation.everyTranslation();
  }

  /** VTD-4, VTD-12: what was stored reaches memory before the hardware is told. */
  *flushWriteBuffers(): Coroutine<void> {
    if (this.vtd.features.rwbf) yield* this.once('wbf');
  }

  /** Changes level bits, and waits until the change has taken effect. */
  *level(change: Partial<Record<Level, 0 | 1>>): Coroutine<void> {
    const wanted = GCMD.pack({ ...GCMD.unpack(this.state.gcmd), ...change });
    const changed = (wanted ^ this.state.gcmd) >>> 0;
    this.state.gcmd = wanted;
    yield* this.command(wanted, (status) => ((status ^ wanted) & changed) === 0);
  }

  /** Starts something with every level bit as it is, and waits for its end: RTPS is set, WBFS is clear. */
  *once(what: Once): Coroutine<void> {
    const bit = GCMD.f[what].maskLo;
    const done = what === 'srtp' ? bit : 0;
    yield* this.command((this.state.gcmd | bit) >>> 0, (status) => (status & bit) >>> 0 === done);
  }

  *command(value: number, done: (status: number) => boolean): Coroutine<void> {
    const { mmio } = this.vtd;
    yield* mmio.write32(GCMD.offset, value);
    yield* mmio.until32(GSTS.offset, done, ACK_LIMIT_NS);
  }
}
