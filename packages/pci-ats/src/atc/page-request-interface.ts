import { type Coroutine, type Kernel, type Step, type Task, WaitQueue } from '@iommukit/kernel';
import type { Link } from '../agent.js';
import type { PciFunction } from '../config/pci-function.js';
import { type Downstream, PRG_RESPONSE } from '../tlp.js';

/** Page request group indexes. */
const INDEXES = 512;

/** A group of page requests that is not answered. */
export interface PageRequestGroup {
  readonly prgi: number;
  readonly pasid: number;
  /** Requests in it: credits that its answer returns (ATC-11). */
  readonly requests: number;
  /** The answer's {@link PRG_RESPONSE} code; -1 before it. */
  code: number;
  /** Who waits for it. */
  readonly task: Task;
}

/** What a {@link PageRequestInterface} is made of. */
export interface PageRequestOptions {
  readonly kernel: Kernel;
  readonly link: Link;
  readonly fn: PciFunction;
  /** Of a virtual function: the interface of its physical function, whose credits it uses too (pcie-ats.md 1.4). */
  readonly pf?: PageRequestInterface;
}

/** Page requests of a function: credits, groups, answers (ATC-11 to ATC-14). */
export class PageRequestInterface {
  readonly kernel: Kernel;
  readonly link: Link;
  readonly fn: PciFunction;
  readonly groups = new Map<number, PageRequestGroup>();
  /** Shared by a physical function and its virtual ones, as is {@link credits}. */
  readonly state: { next: number; outstanding: number; failed: boolean };
  readonly credits: WaitQueue;
  /** The interfaces that share them. */
  readonly sharers: PageRequestInterface[];

  constructor(options: PageRequestOptions) {
    const { kernel } = options;
    this.kernel = kernel;
    this.link = options.link;
    this.fn = options.fn;
    const { pf } = options;
    this.state = pf?.state ?? kernel.checkpoints.keep({ next: 0, outstanding: 0, failed: false });
    this.credits = pf?.credits ?? new WaitQueue(kernel, 'credit for page requests');
    this.sharers = pf?.sharers ?? [];
    this.sharers.push(this);
    kernel.checkpoints.keepMap(this.groups);
  }

  /** Page requests that may be sent now. */
  available(): number {
    return this.usable() ? Math.max(0, this.limit - this.state.outstanding) : 0;
  }

  /** Requests that one group can have. */
  get limit(): number {
    return this.fn.owner.state.allocation;
  }

  /** Enabled, and no Response Failure came since the last reset (ATC-12). */
  usable(): boolean {
    return this.fn.owner.state.pri && !this.state.failed;
  }

  /**
   * Sends one group for `pages` (address / 4096), all with the same rights: 1 read, 2 write, 4 execute, 8 privileged. Waits
   * for credit. The last page closes the group. @returns null when page requests are off, or there are more pages than credits
   */
  *request(pasid: number, pages: readonly number[], perm: number): Coroutine<PageRequestGroup | null> {
    const count = pages.length;
    const granted = (): boolean => !this.usable() || count > this.limit || this.available() >= count;
    if (!granted()) yield* this.credits.wait(granted);
    if (!this.mayRequest(pasid, count, perm)) return null;
    const group: PageRequestGroup = {
      prgi: this.nextIndex(),
      pasid,
      requests: count,
      code: -1,
      task: this.kernel.current!,
    };
    this.groups.set(group.prgi, group);
    this.state.outstanding += count;
    for (const page of pages) this.kernel.observer.asked(this.link.name ?? '', pasid, group.prgi, page);
    // A Response Failure that comes meanwhile ends the group.
    for (let i = 0; i < count && group.code < 0; i++) yield* this.post(group, pages[i], perm, i === count - 1);
    return group;
  }

  /** ATC-11, ATC-15. */
  mayRequest(pasid: number, count: number, perm: number): boolean {
    return this.usable() && count <= this.available() && this.fn.mayUse(pasid, (perm & 4) !== 0, (perm & 8) !== 0);
  }

  post(group: PageRequestGroup, page: number, perm: number, last: boolean): Step<void> {
    return this.link.up({ kind: 'page-request', pasid: group.pasid, prgi: group.prgi, page, perm, last });
  }

  /**
   * Waits for a group's answer; `stop`, when given, ends the wait early.
   * @returns the {@link PRG_RESPONSE} code, or -1 when `stop` said so first
   */
  *answerOf(group: PageRequestGroup, stop?: () => boolean): Coroutine<number> {
    while (group.code < 0) {
      if (stop?.() === true) return -1;
      yield* this.kernel.park('a page request group to be answered');
    }
    return group.code;
  }

  /** Round robin modulo 512; an index is used again only after its answer. */
  nextIndex(): number {
    let index = this.state.next;
    while (this.groups.has(index)) index = (index + 1) % INDEXES;
    this.state.next = (index + 1) % INDEXES;
    return index;
  }

  /** "No more requests of this PASID": L=1, R=W=0. Not credited, never answered. */
  *stopMarker(pasid: number): Coroutine<void> {
    if (!this.usable()) return;
    yield* this.link.up({ kind: 'page-request', pasid, prgi: 0, page: 0, perm: 0, last: true });
  }

  /** Takes a PRG Response (ATC-12). */
  respond(tlp: Extract<Downstream, { kind: 'prg-response' }>): void {
    if (this.state.failed) return;
    const group = this.groups.get(tlp.prgi);
    if (group === undefined || !this.fits(group, tlp.pasid)) this.fn.owner.setUnexpectedIndex();
    else if (tlp.code === PRG_RESPONSE.SUCCESS || tlp.code === PRG_RESPONSE.INVALID_REQUEST)
      this.close(group, tlp.code);
    else this.fail();
  }

  /** True if a response with this PASID (-1: without) can be for the group: some functions require it (2.5). */
  fits(group: PageRequestGroup, pasid: number): boolean {
    if (pasid === group.pasid) return true;
    return pasid < 0 && this.fn.owner.options.pri?.prgResponsePasidRequired !== true;
  }

  /** The group is answered: its credits come back. */
  close(group: PageRequestGroup, code: number): void {
    this.groups.delete(group.prgi);
    this.kernel.observer.settled(this.link.name ?? '', group.pasid, group.prgi);
    this.state.outstanding -= group.requests;
    group.code = code;
    this.kernel.wake(group.task);
    this.credits.wake();
    this.updateStopped();
  }

  /** Response Failure: no more page requests until reset; what is outstanding will not be answered usefully. */
  fail(): void {
    this.state.failed = true;
    this.fn.owner.setResponseFailure();
    for (const sharer of this.sharers) sharer.closeAll();
    this.credits.wake();
  }

  // ── the control register ───────────────────────────────────────────────────────────────────────────────────────

  enabled(): void {
    this.fn.setStopped(false);
  }

  disabled(): void {
    this.credits.wake();
    this.updateStopped();
  }

  /** Counters and groups are cleared; the next request has index 0 again. A virtual function gives up its groups alone. */
  reset(): void {
    if (this.fn.pf !== null) return this.closeAll();
    for (const sharer of this.sharers) sharer.closeAll();
    this.state.next = 0;
    this.state.outstanding = 0;
    this.state.failed = false;
  }

  /** Nobody gets an answer any more. */
  closeAll(): void {
    for (const group of [...this.groups.values()]) this.close(group, PRG_RESPONSE.FAILURE);
  }

  /** ATC-14: Stopped becomes 1 once every outstanding group is answered. */
  updateStopped(): void {
    const { owner } = this.fn;
    if (!owner.state.pri) owner.setStopped(this.state.outstanding === 0);
  }
}
