import type { CpuFeatures } from '@iommukit/core';
import { ASET, CD, OAS_BITS, SHAREABILITY, TG0, WALK_CACHE } from '@iommukit/smmuv3-spec';
import { usesLargeAddresses } from './probe.js';

/** Words of a context descriptor. */
const WORDS = 16;

/** How tables are walked and what their entries mean. */
export type TableFeatures = Pick<CpuFeatures, 'physicalBits' | 'virtualBits' | 'pageShift' | 'mair'>;

/** What a context descriptor says, whoever made its tables (SMMU-9). */
export interface Context {
  readonly asid: number;
  /** In the set that CPUs share: broadcast TLB maintenance reaches it (SMMU-15). */
  readonly shared: boolean;
  /** Physical address of the top-level table. It is not rearranged for 52-bit addresses (TLB-8). */
  readonly pgd: number;
  readonly tables: TableFeatures;
  /** Faulting transactions wait instead of failing (SMMU-12). */
  readonly stalls: boolean;
  /** Which flags the SMMU updates in the tables (SMMU-18). */
  readonly httu: 'none' | 'access' | 'dirty';
}

/** TG0 by log2 of the page size. */
const GRANULE: Readonly<Record<number, number>> = { 12: TG0.GRANULE_4K, 14: TG0.GRANULE_16K, 16: TG0.GRANULE_64K };

const C = CD.f;

/** A descriptor with a lower half, of a living process or of a DMA domain, and no upper half (SMMU-9). */
export function liveContext(context: Context): Uint32Array {
  const words = quiescedContext(context);
  const { tables } = context;
  C.epd0.set(words, 0);
  C.t0sz.set(words, 64 - tables.virtualBits);
  C.tg0.set(words, GRANULE[tables.pageShift]!);
  C.ir0.set(words, WALK_CACHE.WB_RA);
  C.or0.set(words, WALK_CACHE.WB_RA);
  C.sh0.set(words, SHAREABILITY.INNER);
  C.ttb0.set(words, context.pgd);
  return words;
}

/**
 * The descriptor of a process that died while devices were bound to it: valid, so that transactions end quietly, but
 * without walks (SVA-9). S and R as in the live one (SVA-10).
 */
export function quiescedContext(context: Context): Uint32Array {
  const words = new Uint32Array(WORDS);
  const { tables, httu } = context;
  C.v.set(words, 1);
  C.epd0.set(words, 1);
  C.epd1.set(words, 1);
  C.ips.set(words, OAS_BITS.indexOf(tables.physicalBits));
  C.aa64.set(words, 1);
  C.ha.set(words, httu === 'none' ? 0 : 1);
  C.hd.set(words, httu === 'dirty' ? 1 : 0);
  C.s.set(words, context.stalls ? 1 : 0);
  C.r.set(words, 1);
  C.a.set(words, 1);
  C.aset.set(words, context.shared ? ASET.SHARED : ASET.PRIVATE);
  C.asid.set(words, context.asid);
  C.ds.set(words, usesLargeAddresses(tables) ? 1 : 0);
  C.mair0.set(words, tables.mair[0]);
  C.mair1.set(words, tables.mair[1]);
  return words;
}

/** A quiesced descriptor whose transactions end at once and unrecorded, as later kernels have it (SVA-10). */
export function silence(words: Uint32Array): Uint32Array {
  C.s.set(words, 0);
  C.r.set(words, 0);
  return words;
}

/** No descriptor. */
export function noContext(): Uint32Array {
  return new Uint32Array(WORDS);
}
