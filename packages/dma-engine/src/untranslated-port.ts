import type { Coroutine } from '@iommukit/kernel';
import { AT, type Downstream } from '@iommukit/pci-ats';
import type { Engine } from './engine.js';
import { engineDma, pasidOrNull } from './tracepoints.js';
import { addressOf, type Cursor } from './work.js';

/** Why an access did not happen. */
export const REFUSED = {
  /** The page is not to be had: no fault of the hardware. */
  CANCELLED: -1,
  /** The IOMMU cannot serve the device. */
  FAILED: -2,
  /** The PASID is being stopped. */
  STOPPED: -3,
} as const;

/** An access that waits for its completion. */
export interface PendingAccess {
  readonly tag: number;
  /** Where the data of a read goes; null for a write, whose completion has none. */
  readonly into: Uint8Array | null;
  /** What Completer Abort means for it: one of {@link REFUSED}. */
  readonly aborted: number;
  /** Null before the completion; then 0, or one of {@link REFUSED}. */
  result: number | null;
}

/** Tags 0 to 31 are those of translation requests. */
const FIRST_TAG = 32;
const TAGS = 32;

/**
 * The engine's accesses to memory, translated by the IOMMU on their way: one is outstanding at a time. Nobody is told of a
 * posted write that was refused, so a job whose writes are lost ends as done.
 */
export class UntranslatedPort {
  readonly engine: Engine;
  readonly state: { tag: number; access: PendingAccess | null } = { tag: 0, access: null };

  /** The port of one engine. */
  constructor(engine: Engine) {
    this.engine = engine;
    engine.kernel.checkpoints.keep(this.state);
  }

  // ── accesses ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Reads bytes of one page. @returns 0, or one of {@link REFUSED} */
  *load(pasid: number, from: Cursor, into: Uint8Array): Coroutine<number> {
    const refusal = this.refusal(pasid);
    if (refusal < 0) return refusal;
    const { tag } = this.begin(into, REFUSED.CANCELLED);
    this.tellAccess(pasid, from, into.length, false);
    const { page, offset } = from;
    const bytes = into.length;
    const { privileged: priv } = this.engine;
    yield* this.engine.link.up({
      kind: 'read',
      at: AT.UNTRANSLATED,
      tag,
      pasid,
      priv,
      page,
      offset,
      bytes,
      witness: 0,
    });
    return yield* this.completion();
  }

  /** Writes bytes of one page: posted, so it is through once sent. @returns 0, or one of {@link REFUSED} */
  *store(pasid: number, to: Cursor, data: Uint8Array): Coroutine<number> {
    const refusal = this.refusal(pasid);
    if (refusal < 0) return refusal;
    this.tellAccess(pasid, to, data.length, true);
    const { page, offset } = to;
    const { privileged: priv } = this.engine;
    yield* this.engine.link.up({ kind: 'write', at: AT.UNTRANSLATED, pasid, priv, page, offset, data, witness: 0 });
    return 0;
  }

  /** Why no access with the PASID may begin now: one of {@link REFUSED}, or 0. */
  refusal(pasid: number): number {
    if (this.engine.isStopping(pasid)) return REFUSED.STOPPED;
    return this.mayAccess(pasid) ? 0 : REFUSED.FAILED;
  }

  /** What the driver must have switched on (ATC-15). */
  mayAccess(pasid: number): boolean {
    return this.engine.mayUse(pasid);
  }

  // ── page requests ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Pages that can be asked for in one group; 0: no page can. */
  groupLimit(_pasid: number): number {
    return 0;
  }

  /** Asks for pages, where {@link groupLimit} allows it. @returns 0 once they may be there, or one of {@link REFUSED} */
  *requestPages(_pasid: number, _pages: readonly number[], _want: number): Coroutine<number> {
    return REFUSED.CANCELLED;
  }

  // ── completions ────────────────────────────────────────────────────────────────────────────────────────────────

  begin(into: Uint8Array | null, aborted: number): PendingAccess {
    this.state.tag = (this.state.tag + 1) % TAGS;
    const access: PendingAccess = { tag: FIRST_TAG + this.state.tag, into, aborted, result: null };
    this.state.access = access;
    return access;
  }

  /** Waits for the completion of the access that {@link begin} began. @returns 0, or one of {@link REFUSED} */
  *completion(): Coroutine<number> {
    const access = this.state.access!;
    while (access.result === null) yield* this.engine.kernel.park('the completion of an access');
    this.state.access = null;
    return access.result;
  }

  /** A completion. One for another tag is not ours to use; one with too little data is no answer. */
  completed(tlp: Extract<Downstream, { kind: 'completion' }>): void {
    const { access } = this.state;
    if (access === null || access.tag !== tlp.tag || access.result !== null) return;
    access.result = this.resultOf(access, tlp);
    this.engine.kernel.wake(this.engine.task);
  }

  /** The device is gone: no completion comes any more. */
  abort(): void {
    const { access } = this.state;
    if (access === null) return;
    access.result = REFUSED.FAILED;
    this.engine.kernel.wake(this.engine.task);
  }

  resultOf(access: PendingAccess, { status, data }: Extract<Downstream, { kind: 'completion' }>): number {
    if (status === 'ca') return access.aborted;
    if (status !== 'ok' || data.length !== (access.into?.length ?? 0)) return REFUSED.FAILED;
    access.into?.set(data);
    return 0;
  }

  // ── trace ──────────────────────────────────────────────────────────────────────────────────────────────────────

  tellAccess(pasid: number, { page, offset }: Cursor, bytes: number, write: boolean): void {
    const { kernel, name } = this.engine;
    if (!kernel.trace.wants(engineDma)) return;
    kernel.trace.emit(engineDma, {
      dev: name,
      pasid: pasidOrNull(pasid),
      addr: addressOf(page) + BigInt(offset),
      bytes,
      write,
    });
  }
}
