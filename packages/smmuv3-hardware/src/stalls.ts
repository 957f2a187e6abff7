import { type Coroutine, PREEMPT, type Task } from '@iommukit/kernel';
import type { Link } from '@iommukit/pci-ats';
import type { SmmuV3 } from './device.js';
import type { Access } from './faults.js';
import type { DataRead, DataWrite } from './translated.js';

/** How many transactions wait while {@link SmmuCapabilities.stallMax} others are stalled, before more are terminated: a policy of this model. */
export const PUSH_BACK_LIMIT = 1024;

/** What software does to a stalled transaction (CMD_RESUME, CMD_STALL_TERM). */
export const STALL_ACTION = {
  /** Runs again as if it had just arrived. */
  RETRY: 'retry',
  /** Ends with an abort. */
  ABORT: 'abort',
  /** Reads as zero, writes are ignored (TERM_MODEL = 0). */
  IGNORE: 'ignore',
} as const;

/** See {@link STALL_ACTION}. */
export type StallAction = (typeof STALL_ACTION)[keyof typeof STALL_ACTION];

/** A transaction that is held back. */
export interface Held {
  readonly link: Link;
  readonly tlp: DataRead | DataWrite;
}

/** One STAG: the transaction that faulted, and later ones of its kind to the same page, which share its record. */
export interface Stall {
  readonly stag: number;
  /** The event, 0x10 to 0x13, and what its record says about the access. */
  readonly reason: number;
  readonly access: Access;
  readonly transactions: Held[];
  /** Its record is in the event queue: software owes it a RESUME or STALL_TERM. */
  recorded: boolean;
}

/** A transaction that software, or the SMMU itself, let go. */
interface Released extends Held {
  readonly action: StallAction;
}

/**
 * Stalled transactions (smmuv3.md 5.4). What the architecture leaves open: STAGs are given lowest first; a transaction of the same
 * stream, SSID and kind to a page that has a stall joins it, in order; beyond STALL_MAX transactions a link is pushed back in
 * order; a stall is retried early only where its record is unwritten and an invalidation was synced; SMMUEN going to 0 aborts all.
 */
export class Stalls {
  readonly smmu: SmmuV3;
  /** In the order in which they faulted. */
  readonly stalls: Stall[];
  /** Let go, and not yet run again or answered. */
  readonly released: Released[];
  /** Pushed back: not looked at until there is room. */
  readonly waiting: Held[];
  /** `held`: stalled transactions; `unrecorded`: stalls whose record is not written. */
  readonly state = { held: 0, unrecorded: 0 };
  readonly task: Task;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
    const { checkpoints } = smmu.kernel;
    this.stalls = checkpoints.keepList<Stall>([]);
    this.released = checkpoints.keepList<Released>([]);
    this.waiting = checkpoints.keepList<Held>([]);
    checkpoints.keep(this.state);
    this.task = smmu.kernel.daemon('smmu-stalls', () => this.work());
  }

  // ── transactions ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Something is held: transactions that arrive may have to queue behind it. */
  get busy(): boolean {
    return this.state.held + this.released.length + this.waiting.length > 0;
  }

  /** Holds a transaction back where it would overtake another one. False: it may go on. `again`: it was let in before. */
  queue(link: Link, tlp: DataRead | DataWrite, again = false): boolean {
    if (!again && this.waiting.some((other) => other.link === link)) return this.pushBack({ link, tlp });
    return this.join({ link, tlp }, again) || this.follow({ link, tlp });
  }

  /** Lets a transaction share the record of a stall of its kind for the same page. False: there is none. */
  join(held: Held, again: boolean): boolean {
    const stall = this.stalls.find(({ transactions }) => alike(transactions[0], held));
    if (stall === undefined) return false;
    if (this.full) return this.pushBack(held, again);
    stall.transactions.push(held);
    this.state.held++;
    return true;
  }

  /** Lets a transaction run after one of its kind to the same page that is let go. False: there is none, or it is that one. */
  follow(held: Held): boolean {
    const first = this.released.find((other) => alike(other, held));
    if (first === undefined || first.tlp === held.tlp) return false;
    this.released.push({ ...held, action: STALL_ACTION.RETRY });
    return true;
  }

  /** Stalls a transaction that faulted with `reason`. False: nothing more can be held back, and it is terminated. */
  stall(held: Held, reason: number, access: Access, again = false): boolean {
    if (this.smmu.capabilities.stallMax === 0) return false;
    if (this.full) return this.pushBack(held, again);
    const stag = this.freeStag();
    const { link, tlp } = held;
    this.smmu.kernel.observer.asked(link.name ?? '', tlp.pasid, stag, tlp.page);
    this.stalls.push({ stag, reason, access, transactions: [held], recorded: false });
    this.state.held++;
    this.state.unrecorded++;
    this.record();
    return true;
  }

  /** STALL_MAX transactions are stalled. */
  get full(): boolean {
    return this.state.held >= this.smmu.capabilities.stallMax;
  }

  /** Lets a transaction wait until there is room; one that was let in before goes to the front. */
  pushBack(held: Held, again = false): boolean {
    if (again) this.waiting.unshift(held);
    else if (this.waiting.length < PUSH_BACK_LIMIT) this.waiting.push(held);
    else return false;
    return true;
  }

  /** The lowest STAG that no outstanding stall has. */
  freeStag(): number {
    let stag = 0;
    while (this.stalls.some((stall) => stall.stag === stag)) stag++;
    return stag;
  }

  // ── records ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Writes the records that are not written, in order, as far as the event queue takes them. None is ever lost. */
  record(): void {
    const { events } = this.smmu;
    for (const stall of this.stalls) {
      if (this.state.unrecorded === 0) return;
      if (stall.recorded) continue;
      if (!events.reportStall(stall.reason, stall.access, stall.stag)) return;
      stall.recorded = true;
      this.state.unrecorded--;
    }
  }

  /** The event queue may be writable again. */
  queueChanged(): void {
    if (this.state.unrecorded > 0) this.smmu.kernel.kick(this.task);
  }

  /** A CMD_SYNC after an invalidation: what stalled before and is not recorded is looked at again. */
  retryUnrecorded(): void {
    if (this.state.unrecorded === 0) return;
    this.release((stall) => !stall.recorded, STALL_ACTION.RETRY);
  }

  // ── software ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** CMD_RESUME. A STAG that no stalled transaction of the stream has: no effect. */
  resume(stream: number, stag: number, action: StallAction): void {
    this.release((stall) => stall.stag === stag && streamOf(stall) === stream, action);
  }

  /** CMD_STALL_TERM: everything of the stream that is stalled, recorded or not, is aborted. */
  terminate(stream: number): void {
    this.release((stall) => streamOf(stall) === stream, STALL_ACTION.ABORT);
  }

  /** SMMUEN went to 0: nothing stays stalled, and no STAG is outstanding. */
  terminateAll(): void {
    for (const held of this.waiting.splice(0)) this.released.push({ ...held, action: STALL_ACTION.ABORT });
    this.release(() => true, STALL_ACTION.ABORT);
  }

  /** Lets the transactions of some stalls go; their STAGs are free at once. */
  release(which: (stall: Stall) => boolean, action: StallAction): void {
    for (let i = 0; i < this.stalls.length; ) {
      const stall = this.stalls[i];
      if (!which(stall)) {
        i++;
        continue;
      }
      this.stalls.splice(i, 1);
      const [{ link: first, tlp: its }] = stall.transactions;
      this.smmu.kernel.observer.settled(first.name ?? '', its.pasid, stall.stag);
      this.state.held -= stall.transactions.length;
      if (!stall.recorded) this.state.unrecorded--;
      for (const { link, tlp } of stall.transactions) this.released.push({ link, tlp, action });
    }
    if (this.busy) this.smmu.kernel.kick(this.task);
  }

  // ── the daemon ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Writes late records, then runs again or answers what was let go, then lets in what was pushed back. */
  *work(): Coroutine<void> {
    const { kernel, footprint } = this.smmu;
    if (kernel.at(footprint, true)) yield PREEMPT;
    this.record();
    // Each stays in its list until it is through, so that what arrives meanwhile does not overtake it.
    while (this.released.length > 0) {
      yield* this.finish(this.released[0]);
      this.released.shift();
    }
    while (this.waiting.length > 0 && !this.full) {
      const first = this.waiting[0];
      yield* this.finish({ ...first, action: STALL_ACTION.RETRY });
      this.waiting.splice(this.waiting.indexOf(first), 1);
    }
  }

  finish({ link, tlp, action }: Released): Coroutine<void> {
    const { data } = this.smmu;
    return action === STALL_ACTION.RETRY ? data.again(link, tlp) : data.end(link, tlp, action);
  }
}

const streamOf = (stall: Stall): number => stall.transactions[0].link.stream;

/** The same kind of access by the same stream and SSID to the same page. */
function alike(one: Held, other: Held): boolean {
  const [a, b] = [one.tlp, other.tlp];
  return one.link.stream === other.link.stream && a.pasid === b.pasid && a.page === b.page && a.kind === b.kind;
}
