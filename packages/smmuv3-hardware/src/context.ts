import { GRANULES, startEntries, startLevel } from '@iommukit/paging';
import { CD, OAS_BITS, STE, TG0, TG1 } from '@iommukit/smmuv3-spec';
import { GLOBAL } from './address-spaces.js';
import type { SmmuCapabilities } from './capabilities.js';
import { CONTEXT, FLAG, KIND, NUMBER } from './config-cache.js';
import type { SmmuV3 } from './device.js';
import { saltOf, tagOf } from './iotlb.js';

const GRANULE = GRANULES['4K'];
/** TxSZ of the largest and the smallest range (smmuv3.md 2.4), and the pages of the largest one. */
const T_SZ = { min: 16, max: 39 } as const;
const PAGE_BITS = 12;
const VA_PAGES = 2 ** (64 - T_SZ.min - PAGE_BITS);
/** Output addresses of 4 KiB descriptors have 48 bits. */
const DESCRIPTOR_BITS = 48;

const { v, s, a, endi, aa64, ha, hd, asid, aset, ips, epd0, epd1, t0sz, t1sz, tg0, tg1, ttb0, ttb1 } = CD.f;

/** The CD is ILLEGAL: C_BAD_CD (smmuv3.md 2.4). Granules other than 4 KiB are not implemented. */
export function illegalCd(cd: Uint32Array, stes: Uint32Array, ste: number, has: SmmuCapabilities): boolean {
  if (v.get(cd) === 0) return true;
  if (s.get(cd) === 1 && (has.stall === 'none' || STE.f.s1stalld.get(stes, ste) === 1)) return true;
  if (s.get(cd) === 0 && has.stall === 'forced') return true;
  if (a.get(cd) === 0 && has.terminateAborts) return true;
  if (endi.get(cd) === 1 || aa64.get(cd) === 0 || ha.get(cd) === 1 || hd.get(cd) === 1) return true;
  if (!has.asid16 && asid.get(cd) > 0xff) return true;
  const limit = 2 ** outputBits(cd, has);
  const low =
    epd0.get(cd) === 0 && (tg0.get(cd) !== TG0.GRANULE_4K || illegalSize(t0sz.get(cd)) || ttb0.get(cd) >= limit);
  const high =
    epd1.get(cd) === 0 && (tg1.get(cd) !== TG1.GRANULE_4K || illegalSize(t1sz.get(cd)) || ttb1.get(cd) >= limit);
  return low || high;
}

const illegalSize = (size: number): boolean => size < T_SZ.min || size > T_SZ.max;

/** Bits of an output address: min(IPS, OAS), and what a descriptor can hold. */
const outputBits = (cd: Uint32Array, has: SmmuCapabilities): number =>
  Math.min(OAS_BITS[ips.get(cd)], has.oas, DESCRIPTOR_BITS);

/** Decodes a legal CD into the context at `at`. False: there is no number left for its address space. */
export function fillContext(smmu: SmmuV3, at: number, cd: Uint32Array, vmid: number): boolean {
  const { contexts, numbers } = smmu.config;
  const space = smmu.spaces.of(vmid, asid.get(cd), aset.get(cd));
  const globalSpace = smmu.spaces.of(vmid, GLOBAL, aset.get(cd));
  if (space < 0 || globalSpace < 0) return false;
  numbers[at + NUMBER.KIND] = KIND.STAGE1;
  numbers[at + NUMBER.FLAGS] = flagsOf(cd);
  numbers[at + NUMBER.SPACE] = space;
  numbers[at + NUMBER.GLOBAL_SPACE] = globalSpace;
  numbers[at + NUMBER.SALT] = saltOf(space);
  contexts[at + CONTEXT.BASE] = tagOf(space, 0, 0);
  contexts[at + CONTEXT.OUTPUT] = 2 ** (outputBits(cd, smmu.capabilities) - PAGE_BITS);
  contexts[at + CONTEXT.TABLE0] = Math.floor(ttb0.get(cd) / 4096);
  contexts[at + CONTEXT.TABLE1] = Math.floor(ttb1.get(cd) / 4096);
  contexts[at + CONTEXT.LOW] = half(numbers, at + NUMBER.START0, epd0.get(cd), t0sz.get(cd), ttb0.get(cd));
  contexts[at + CONTEXT.HIGH] = half(numbers, at + NUMBER.START1, epd1.get(cd), t1sz.get(cd), ttb1.get(cd));
  return true;
}

/**
 * Start level, index mask, offset and frame of one half's first table, from `to` on. With EPD nothing is walked for and the fields
 * are ignored; what the TLB holds still hits, in the whole range. Returns the pages in range.
 */
function half(numbers: Int32Array, to: number, epd: number, size: number, table: number): number {
  if (epd === 1) {
    numbers[to] = -1;
    return VA_PAGES;
  }
  const bits = 64 - size;
  const entries = startEntries(GRANULE, bits);
  numbers[to] = startLevel(GRANULE, bits);
  numbers[to + 1] = entries - 1;
  numbers[to + 2] = ((table % 4096) - (table % (entries * 8))) / 4;
  numbers[to + 3] = table < 2 ** 43 ? table / 4096 : -1;
  return 2 ** (bits - PAGE_BITS);
}

function flagsOf(cd: Uint32Array): number {
  const { affd, wxn, pan, had0, had1, tbi0, tbi1, r } = CD.f;
  return (
    affd.get(cd) * FLAG.AFFD +
    wxn.get(cd) * FLAG.WXN +
    pan.get(cd) * FLAG.PAN +
    had0.get(cd) * FLAG.HAD0 +
    had1.get(cd) * FLAG.HAD1 +
    tbi0.get(cd) * FLAG.TBI0 +
    tbi1.get(cd) * FLAG.TBI1 +
    a.get(cd) * FLAG.ABORT +
    r.get(cd) * FLAG.RECORD +
    s.get(cd) * FLAG.STALL
  );
}
