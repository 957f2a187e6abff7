import { type Coroutine, type Footprint, IommuError } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Mm } from '../mm/mm.js';
import { asidRollover } from '../tracepoints.js';

/** One generation: a context is a multiple of this plus an ASID (ASID-1). */
export const ASID_GENERATION = 2 ** 16;

/** The ASID in a context. */
export function asidIn(context: number): number {
  return context % ASID_GENERATION;
}

/**
 * The numbers that tag a process's translations in TLBs, as arm64 kernels hand them out: within a generation no two
 * address spaces have the same one; when none is left, a new generation begins and CPUs flush their TLBs before they
 * use its numbers. A pinned number stays (TLB-7). Switching and pinning are one step each: their lock is held with
 * interrupts off, and nothing in between sleeps.
 */
export class AsidAllocator {
  readonly core: Core;
  /** Numbers there are, 0 included. */
  readonly numbers: number;
  /** Numbers of this generation that are taken, and those that outlive a roll-over. */
  readonly used = new Set<number>();
  readonly pinned = new Set<number>();
  /** By CPU: the context it runs with; 0 after a roll-over, until it switches. */
  readonly active: Float64Array;
  /** By CPU: the context it ran with at the last roll-over, the only trace of a process that still runs there. */
  readonly reserved: Float64Array;
  /** By CPU: 1 if its TLB has entries of an older generation. */
  readonly flushPending: Uint8Array;
  /** By CPU: whose tables it runs on ({@link Mm.id}; 0: nobody's), and the ASID in the register that names them. */
  readonly current: Float64Array;
  readonly running: Uint16Array;
  /** `evenOnly`: odd numbers are not handed out. */
  readonly state: { generation: number; cursor: number; pins: number; evenOnly: boolean };
  /** What a pin changes, for exploration. */
  readonly footprint: Footprint;

  /** @throws IommuError EINVAL when there are too few numbers for the CPUs */
  constructor(core: Core) {
    const { cpus, asidBits, kpti, kptiBuilt } = core.cpuFeatures;
    const { asids } = core.settings;
    this.core = core;
    this.numbers = typeof asids === 'number' && asids !== 0 ? asids : 2 ** asidBits;
    this.active = new Float64Array(cpus);
    this.reserved = new Float64Array(cpus);
    this.flushPending = new Uint8Array(cpus);
    this.current = new Float64Array(cpus);
    this.running = new Uint16Array(cpus);
    this.state = { generation: ASID_GENERATION, cursor: 1, pins: 0, evenOnly: kpti || kptiBuilt };
    this.footprint = core.kernel.footprint();
    for (const kept of [this.state, this.containers()]) core.kernel.checkpoints.keep(kept);
    this.refuseTooFew(cpus, 2 ** asidBits);
  }

  containers(): object {
    const { used, pinned, active, reserved, flushPending, current, running } = this;
    return { used, pinned, active, reserved, flushPending, current, running };
  }

  refuseTooFew(cpus: number, most: number): void {
    const least = (cpus + 2) * this.perProcess();
    if (Number.isInteger(this.numbers) && this.numbers >= least && this.numbers <= most) return;
    throw new IommuError('EINVAL', `${this.numbers} ASIDs cannot serve ${cpus} CPUs`, {
      rule: 'ASID-8',
      remedy: `set asids to ${least}-${most}, or to 0 for as many as their width allows`,
    });
  }

  // ── switching (ASID-2 … ASID-4) ────────────────────────────────────────────────────────────────────────────────

  /**
   * `cpu` runs on the tables of `mm` from here on.
   * @returns the ASID that its user accesses are tagged with
   */
  enter(cpu: number, mm: Mm): number {
    if (this.current[cpu] !== mm.id) {
      if (!this.switchFast(cpu, mm)) this.switchSlow(cpu, mm);
      this.current[cpu] = mm.id;
      this.running[cpu] = asidIn(this.active[cpu]!) + this.userBit();
    }
    return this.running[cpu]!;
  }

  /** ASID-3: without the lock, if nothing rolled over since this CPU switched and the mm's number is of this generation. */
  switchFast(cpu: number, mm: Mm): boolean {
    if (this.active[cpu] === 0 || !this.matches(mm.asidContext)) return false;
    this.active[cpu] = mm.asidContext;
    return true;
  }

  /** ASID-4: under the lock. */
  switchSlow(cpu: number, mm: Mm): void {
    if (!this.matches(mm.asidContext)) mm.asidContext = this.newContext(mm);
    if (this.flushPending[cpu] === 1) this.flushStale(cpu);
    this.active[cpu] = mm.asidContext;
  }

  /** ASID-4: what the CPU cached under numbers of older generations goes, before it runs with a number of this one. */
  flushStale(cpu: number): void {
    this.flushPending[cpu] = 0;
    this.core.tlb.flushLocal(cpu);
  }

  /** ASID-2: the context is of this generation. */
  matches(context: number): boolean {
    return context - asidIn(context) === this.state.generation;
  }

  // ── numbers (ASID-5 … ASID-7) ──────────────────────────────────────────────────────────────────────────────────

  /** ASID-5: a context of this generation: with the mm's old number if that can be, else the next free one. */
  newContext(mm: Mm): number {
    const old = mm.asidContext;
    const asid = asidIn(old);
    const keeps = old !== 0 && (this.renewReserved(old) || this.isPinned(mm) || this.take(asid));
    return this.withAsid(keeps ? asid : this.allocate());
  }

  withAsid(asid: number): number {
    return this.state.generation + asid;
  }

  /** ASID-5a: the number is reserved for a CPU that still runs the mm, or several: all are told the new context. */
  renewReserved(old: number): boolean {
    let found = false;
    for (let cpu = 0; cpu < this.reserved.length; cpu++) {
      if (this.reserved[cpu] !== old) continue;
      this.reserved[cpu] = this.withAsid(asidIn(old));
      found = true;
    }
    return found;
  }

  /** ASID-5b, ASID-10. */
  isPinned(mm: Mm): boolean {
    return mm.asidPins > 0;
  }

  /** ASID-5c: takes a number that nobody has taken in this generation. */
  take(asid: number): boolean {
    if (!this.isFree(asid)) return false;
    this.used.add(asid);
    return true;
  }

  /** ASID-7: 0 is never free, and with pairs the odd numbers belong to the even ones. */
  isFree(asid: number): boolean {
    return asid !== 0 && !this.used.has(asid) && !(this.state.evenOnly && asid % 2 === 1);
  }

  /** ASID-5, ASID-6: the next free number, in a new generation if need be. */
  allocate(): number {
    let asid = this.nextFree(this.state.cursor);
    if (asid === 0) {
      this.rollOver();
      asid = this.nextFree(1);
    }
    // With the limit of ASID-8 there is one always.
    if (asid === 0) this.core.kernel.violate('INV-11', `no ASID is left for a CPU: ${this.state.pins} are pinned`);
    this.used.add(asid);
    this.state.cursor = asid;
    return asid;
  }

  /** The first free number from `from` on, or 0. */
  nextFree(from: number): number {
    for (let asid = from; asid < this.numbers; asid++) if (this.isFree(asid)) return asid;
    return 0;
  }

  /** ASID-6: a new generation, in which pinned numbers and those that CPUs run with are taken. */
  rollOver(): void {
    this.state.generation += ASID_GENERATION;
    this.state.evenOnly = this.core.cpuFeatures.kpti;
    this.used.clear();
    for (const asid of this.pinned) this.used.add(asid);
    for (let cpu = 0; cpu < this.active.length; cpu++) this.reserve(cpu);
    this.flushPending.fill(1);
    const { trace } = this.core.kernel;
    const generation = this.state.generation / ASID_GENERATION;
    if (trace.wants(asidRollover)) trace.emit(asidRollover, { generation, pinned: this.pinned.size });
  }

  /** ASID-6: a CPU that did not switch since the last roll-over still runs with what was reserved then. */
  reserve(cpu: number): void {
    const context = this.active[cpu] !== 0 ? this.active[cpu]! : this.reserved[cpu]!;
    this.active[cpu] = 0;
    this.reserved[cpu] = context;
    this.used.add(asidIn(context));
  }

  // ── pinning (ASID-8 … ASID-10) ─────────────────────────────────────────────────────────────────────────────────

  /**
   * The mm keeps its number until {@link unpin}, so hardware may be programmed with it. The caller holds mm_count.
   * @returns the ASID of its user accesses, or 0 when no more can be pinned
   */
  *pin(mm: Mm): Coroutine<number> {
    yield* this.core.kernel.point(this.footprint, true);
    return this.hold(mm) ? this.asidOf(mm) : 0;
  }

  /** ASID-9. */
  hold(mm: Mm): boolean {
    if (mm.asidPins === 0) {
      if (this.state.pins >= this.mostPins()) return false;
      if (!this.matches(mm.asidContext)) mm.asidContext = this.newContext(mm);
      this.state.pins++;
      this.markPinned(asidIn(mm.asidContext));
    }
    mm.asidPins++;
    return true;
  }

  /** ASID-9: the number is taken in every generation to come. */
  markPinned(asid: number): void {
    this.pinned.add(asid);
  }

  /** ASID-8: so that after a roll-over every CPU finds a number. */
  mostPins(): number {
    return Math.floor(this.numbers / this.perProcess()) - this.core.cpuFeatures.cpus - 2;
  }

  /** Takes a pin back; the number stays taken until the next roll-over (ASID-9). The caller still holds mm_count. */
  *unpin(mm: Mm): Coroutine<void> {
    const { kernel } = this.core;
    yield* kernel.point(this.footprint, true);
    if (mm.asidPins === 0) return kernel.violate('INV-9', `the ASID of ${mm.space} is unpinned, but is not pinned`);
    if (--mm.asidPins > 0) return;
    this.state.pins--;
    this.pinned.delete(asidIn(mm.asidContext));
  }

  // ── looking ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The ASID that tags the mm's user accesses; 0 if it never had one. ASID-7: of a pair, the odd number. */
  asidOf(mm: Mm): number {
    return mm.asidContext === 0 ? 0 : asidIn(mm.asidContext) + this.userBit();
  }

  /** 1 where processes have pairs. */
  userBit(): number {
    return this.perProcess() - 1;
  }

  /** Numbers that one process needs. */
  perProcess(): number {
    return this.core.cpuFeatures.kpti ? 2 : 1;
  }

  /** Pinned ASIDs. */
  inUse(): number {
    return this.state.pins;
  }
}
