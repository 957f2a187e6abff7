import { type Coroutine, Kernel, PhysicalBus, type Settings } from '@iommukit/kernel';
import { type AsidAllocator, type CoreOptions, type CoreParts, coreParts, createCore, type Mm } from '../src/index.js';

/** One thing that happens to the allocator: a CPU switches, or an mm is pinned or unpinned. */
export interface AsidStep {
  readonly do: 'enter' | 'pin' | 'unpin';
  readonly cpu: number;
  readonly mm: number;
}

/** An allocator alone, with mms that have nothing but what it looks at. */
export function asidBench(
  settings: Settings,
  options: { cpu?: CoreOptions['cpu']; parts?: Partial<CoreParts> } = {},
): { asids: AsidAllocator; kernel: Kernel; mm(n: number): Mm } {
  const kernel = new Kernel();
  const bus = new PhysicalBus(kernel, [{ base: 0, bytes: 2 << 20 }]);
  const parts = { ...coreParts, ...options.parts };
  const { asids } = createCore({ kernel, bus, settings, cpu: options.cpu ?? {}, parts });
  const mms: Mm[] = [];
  const mm = (n: number): Mm =>
    (mms[n] ??= { id: n + 1, space: `mm:${n + 1}`, asidContext: 0, asidPins: 0 } as unknown as Mm);
  return { asids, kernel, mm };
}

/** Runs what nothing preempts. */
export function byHand<T>(routine: Coroutine<T>): T {
  for (;;) {
    const { done, value } = routine.next(); // no yield*: run by hand
    if (done === true) return value;
  }
}

/**
 * What must hold, said flatly: who runs where under which number, and which numbers each CPU's TLB may still have lines of
 * which mm under.
 * @returns the first broken promise, or null
 */
export function brokenPromise(
  settings: Settings,
  steps: readonly AsidStep[],
  options: { cpu?: CoreOptions['cpu']; parts?: Partial<CoreParts> } = {},
): string | null {
  const { asids, kernel, mm } = asidBench(settings, options);
  kernel.begin(kernel.chooser);
  const { cpus } = asids.core.cpuFeatures;
  const tagged = Array.from({ length: cpus }, () => new Map<number, number>());
  const flushLocal = asids.core.tlb.flushLocal;
  asids.core.tlb.flushLocal = function (cpu) {
    tagged[cpu]!.clear();
    flushLocal.call(this, cpu);
  };
  const pinnedAs = new Map<number, number>();
  for (const step of steps) {
    const who = mm(step.mm);
    if (step.do === 'pin' && asids.hold(who)) {
      const first = pinnedAs.get(who.id) ?? asids.asidOf(who);
      if (first !== asids.asidOf(who)) return 'a pinned number changed';
      pinnedAs.set(who.id, first);
    }
    if (step.do === 'unpin' && who.asidPins > 0) {
      byHand(asids.unpin(who));
      if (who.asidPins === 0) pinnedAs.delete(who.id);
    }
    if (step.do === 'enter') {
      const cpu = step.cpu % cpus;
      const asid = asids.enter(cpu, who);
      if (asid === 0) return 'a CPU got number 0';
      if ((tagged[cpu]!.get(asid) ?? who.id) !== who.id) return 'a TLB has lines of two mms under one number';
      tagged[cpu]!.set(asid, who.id);
      for (let other = 0; other < cpus; other++) {
        const same = asids.running[other] === asid && asids.current[other] !== 0;
        if (same && asids.current[other] !== who.id) return 'two CPUs run two mms under one number';
        if (!same && asids.current[other] === who.id) return 'two CPUs run one mm under two numbers';
      }
    }
    if (kernel.outcome?.end === 'violation') return kernel.outcome.violation.story;
    const owners = new Map<number, number>();
    for (let n = 0; n < 12; n++) {
      const { asidContext, id } = mm(n);
      if (!asids.matches(asidContext)) continue;
      if (owners.has(asidContext)) return 'two mms of one generation have one number';
      owners.set(asidContext, id);
      if (!asids.used.has(asidContext % 65536)) return 'a number in use counts as free';
    }
    for (const [id, asid] of pinnedAs) {
      if (asids.asidOf(mm(id - 1)) !== asid) return 'a pinned number changed';
      for (let cpu = 0; cpu < cpus; cpu++) {
        if (asids.running[cpu] === asid && asids.current[cpu] !== id && asids.current[cpu] !== 0) {
          return 'a CPU runs another mm under a pinned number';
        }
      }
    }
  }
  return null;
}
