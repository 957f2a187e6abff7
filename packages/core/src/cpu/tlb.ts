import { type Coroutine, type Footprint, powerOfTwo, type Step, type TlbInvalidation } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Mm } from '../mm/mm.js';

/** Lines of one CPU's TLB. */
const LINES = 32;
/** In {@link Tlb.rights}, beside PERM bits: the page may be written, once hardware has marked it dirty. */
const CLEAN = 64;
/** The page holds registers. */
const DEVICE = 128;
const EVERY_PAGE = 2 ** 52 - 1;

/**
 * The CPUs' TLBs, and the maintenance that keeps them right. A line is used as long as it is there, however stale: who
 * forgets a flush gets the old page. Where CPUs broadcast, every CPU's TLB is a listener of `kernel.tlbBroadcast` and
 * may be late; elsewhere a flush reaches all of them at once.
 */
export class Tlb {
  readonly core: Core;
  /** By line, CPU after CPU: its ASID (-1: empty), page and frame (address / 4096), and rights. */
  readonly asid: Int32Array;
  readonly page: Float64Array;
  readonly frame: Float64Array;
  readonly rights: Uint8Array;
  /** The first CPU's TLB; the others follow. */
  readonly footprint: Footprint;

  constructor(core: Core) {
    const { cpus, broadcast } = core.cpuFeatures;
    const { kernel } = core;
    this.core = core;
    this.asid = new Int32Array(cpus * LINES).fill(-1);
    this.page = new Float64Array(cpus * LINES);
    this.frame = new Float64Array(cpus * LINES);
    this.rights = new Uint8Array(cpus * LINES);
    this.footprint = kernel.footprint(cpus);
    kernel.checkpoints.keep({ asid: this.asid, page: this.page, frame: this.frame, rights: this.rights });
    for (let cpu = 0; broadcast && cpu < cpus; cpu++) {
      kernel.tlbBroadcast.connect({ name: `cpu${cpu}`, invalidate: (message) => this.follow(cpu, message) });
    }
  }

  // ── lines ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The line of `page` under `asid` on `cpu`, or -1. */
  find(cpu: number, asid: number, page: number): number {
    const line = this.lineOf(cpu, asid, page);
    return this.page[line] === page && this.asid[line] === asid ? line : -1;
  }

  /** Keeps a translation that a walk found, whatever its rights are (smmuv3.md 3.4). */
  fill(cpu: number, asid: number, page: number, frame: number, perm: number, device = false, clean = false): void {
    const line = this.lineOf(cpu, asid, page);
    this.asid[line] = asid;
    this.page[line] = page;
    this.frame[line] = frame;
    this.rights[line] = perm + (device ? DEVICE : 0) + (clean ? CLEAN : 0);
    this.touch(cpu, true);
  }

  /** A write by a line that is not marked dirty: CPUs that mark by themselves look at memory again (smmuv3.md 3.4). */
  asksAgain(line: number, write: boolean): boolean {
    return write && (this.rights[line]! & CLEAN) !== 0 && this.core.cpuFeatures.httu === 'dirty';
  }

  /** Processes use the same addresses, so their numbers spread them. */
  lineOf(cpu: number, asid: number, page: number): number {
    return cpu * LINES + ((page + 5 * asid) % LINES);
  }

  /** PERM bits of a line. */
  permOf(line: number): number {
    return this.rights[line]! & ~(DEVICE | CLEAN);
  }

  /** True if a line leads to registers. */
  isDevice(line: number): boolean {
    return (this.rights[line]! & DEVICE) !== 0;
  }

  /** A use or a change of a CPU's TLB, for exploration. */
  touch(cpu: number, write: boolean): void {
    const { kernel } = this.core;
    if (kernel.listener !== null) kernel.touch(this.footprint + cpu, write);
  }

  // ── maintenance ────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Pages [first, end) of the mm leave every TLB that follows the CPUs; on return no older translation is used. Allowed
   * under a spinlock. Very long ranges become the whole ASID (MN-17).
   * @param leaf no table went: what is cached of upper levels may stay
   */
  *flushRange(mm: Mm, first: number, end: number, leaf = false): Coroutine<void> {
    if (this.neverTagged(mm)) return;
    if (end - first > this.wholeAsidPages()) return yield* this.flushMm(mm);
    yield* this.maintain(mm, { kind: 'va', first, last: end - 1, leaf });
  }

  /** One CPU page leaves every TLB, after its entry changed. */
  flushPage(mm: Mm, page: number): Coroutine<void> {
    const pages = powerOfTwo(this.core.cpuFeatures.pageShift - 12);
    const first = page - (page % pages);
    return this.flushRange(mm, first, first + pages, true);
  }

  /** A page got more rights: every TLB must learn it, those of IOMMUs that follow the CPUs too (MN-14, MN-15). */
  flushUpgraded(mm: Mm, page: number): Coroutine<void> {
    return this.flushPage(mm, page);
  }

  /** Everything of the mm leaves every TLB. */
  *flushMm(mm: Mm): Coroutine<void> {
    if (this.neverTagged(mm)) return;
    yield* this.maintain(mm, { kind: 'asid', first: 0, last: EVERY_PAGE, leaf: false });
  }

  /** One CPU page leaves the TLB of the CPU that the task runs on. */
  *flushLocalPage(mm: Mm, page: number): Coroutine<void> {
    const pages = powerOfTwo(this.core.cpuFeatures.pageShift - 12);
    const first = page - (page % pages);
    if (!this.neverTagged(mm)) this.drop(this.core.cpu.here(), this.core.asids.asidOf(mm), first, first + pages - 1);
  }

  /** Everything leaves the TLB of `cpu`. */
  flushLocal(cpu: number): void {
    this.asid.fill(-1, cpu * LINES, (cpu + 1) * LINES);
    this.touch(cpu, true);
  }

  /** No number ever stood for the mm, so nothing is cached under one. */
  neverTagged(mm: Mm): boolean {
    return mm.asidContext === 0;
  }

  /** As many pages as a table of leaf entries has: from more on, single pages cost more than they save (MN-17). */
  wholeAsidPages(): number {
    const { pageShift } = this.core.cpuFeatures;
    return powerOfTwo(2 * pageShift - 15);
  }

  /** Tells every TLB, and waits (DSB). ASID-7: of a pair, both numbers. */
  *maintain(mm: Mm, what: Pick<TlbInvalidation, 'kind' | 'first' | 'last' | 'leaf'>): Coroutine<void> {
    const { asids, cpuFeatures, kernel } = this.core;
    const user = asids.asidOf(mm);
    if (!cpuFeatures.broadcast) return this.dropEverywhere(user, what.first, what.last);
    const level = this.exceptionLevel();
    for (let asid = user - asids.userBit(); asid <= user; asid++) {
      yield* kernel.tlbBroadcast.send({ ...what, level, vmid: 0, asid });
    }
    yield* this.barrier();
  }

  /** The level that the kernel's TLB instructions are for: its own (TLB-9). */
  exceptionLevel(): 'el1' | 'el2' {
    return this.core.cpuFeatures.el2 ? 'el2' : 'el1';
  }

  /** MN-18: what was sent has been applied by everybody. */
  barrier(): Coroutine<void> {
    return this.core.kernel.tlbBroadcast.sync();
  }

  /** A CPU applies another one's message, or its own. */
  follow(cpu: number, { kind, level, asid, first, last }: TlbInvalidation): Step<void> {
    if (level === this.exceptionLevel()) {
      if (kind === 'all') this.flushLocal(cpu);
      else this.drop(cpu, asid, first, last);
    }
    return this.core.kernel.done(undefined);
  }

  dropEverywhere(asid: number, first: number, last: number): void {
    for (let cpu = 0; cpu < this.core.cpuFeatures.cpus; cpu++) this.drop(cpu, asid, first, last);
  }

  /** Pages [first, last] under `asid` (-1: under every one) leave the TLB of `cpu`. */
  drop(cpu: number, asid: number, first: number, last: number): void {
    const end = (cpu + 1) * LINES;
    for (let line = cpu * LINES; line < end; line++) {
      if (this.asid[line] !== asid && asid !== -1) continue;
      if (this.page[line]! >= first && this.page[line]! <= last) this.asid[line] = -1;
    }
    this.touch(cpu, true);
  }
}
