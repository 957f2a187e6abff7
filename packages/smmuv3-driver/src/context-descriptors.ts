import { ASET, CD, OAS_BITS, SHAREABILITY, TG0, WALK_CACHE } from '@iommukit/smmuv3-spec';
import type { CpuFeatures } from './cpu-features.js';

/** Words of a context descriptor. */
const WORDS = 16;

/** What a context descriptor made from an mm says (SMMU-9). */
export interface SvaContext {
  readonly asid: number;
  /** Physical address of the process's top-level table. It is not rearranged for 52-bit addresses (TLB-8). */
  readonly pgd: number;
  readonly cpu: CpuFeatures;
  /** Faulting transactions wait instead of failing (SMMU-12). */
  readonly stalls: boolean;
}

/** TG0 by log2 of the page size. */
const GRANULE: Readonly<Record<number, number>> = { 12: TG0.GRANULE_4K, 14: TG0.GRANULE_16K, 16: TG0.GRANULE_64K };

const C = CD.f;

/** The descriptor of a process that lives: its lower half by the CPUs' own tables, no upper half (SMMU-9). */
export function liveContext(context: SvaContext): Uint32Array {
  const words = quiescedContext(context);
  const { cpu } = context;
  C.epd0.set(words, 0);
  C.t0sz.set(words, 64 - cpu.virtualBits);
  C.tg0.set(words, GRANULE[cpu.pageShift]!);
  C.ir0.set(words, WALK_CACHE.WB_RA);
  C.or0.set(words, WALK_CACHE.WB_RA);
  C.sh0.set(words, SHAREABILITY.INNER);
  C.ttb0.set(words, context.pgd);
  return words;
}

/**
 * The descriptor of a process that died while devices were bound to it: valid, so that transactions end quietly, but
 * without walks (SVA-9). S and R stay as they were (SVA-10).
 */
export function quiescedContext(context: SvaContext): Uint32Array {
  const words = new Uint32Array(WORDS);
  const { cpu } = context;
  C.v.set(words, 1);
  C.epd0.set(words, 1);
  C.epd1.set(words, 1);
  C.ips.set(words, OAS_BITS.indexOf(cpu.physicalBits));
  C.aa64.set(words, 1);
  C.s.set(words, context.stalls ? 1 : 0);
  C.r.set(words, 1);
  C.a.set(words, 1);
  C.aset.set(words, ASET.PRIVATE);
  C.asid.set(words, context.asid);
  C.mair0.set(words, cpu.mair[0]);
  C.mair1.set(words, cpu.mair[1]);
  return words;
}

/** No descriptor. */
export function noContext(): Uint32Array {
  return new Uint32Array(WORDS);
}
