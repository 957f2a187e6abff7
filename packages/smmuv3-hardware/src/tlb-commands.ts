import { powerOfTwo } from '@iommukit/kernel';
import { CERROR, TLBI_TG, TlbiNhVa, TlbiS2Ipa } from '@iommukit/smmuv3-spec';
import { WORLD } from './address-spaces.js';
import type { SmmuV3 } from './device.js';

const PAGES = 2 ** 52;
/** log2 of the bytes of a granule, by TG (0: not a range). */
const GRANULE_BITS: readonly number[] = [0, 12, 14, 16];
/** SCALE is bits 24:20 of dw0; with IDR5.DS bit 25 too (smmuv3.md 4.2). */
const SCALE_WITH_DS = { shift: 20, mask: 0x3f } as const;

/** The commands that invalidate TLB entries (smmuv3.md 3.6, 4.2): each takes effect in the step that consumes it. */
export class TlbCommands {
  readonly smmu: SmmuV3;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
  }

  /** TLBI_NSNH_ALL: every entry of NS-EL1 and of stage 2. */
  nsnhAll(): number {
    this.smmu.iotlb.dropWorld(WORLD.EL1);
    if (this.smmu.capabilities.stage2) this.smmu.iotlb.dropWorld(WORLD.STAGE2);
    return this.done();
  }

  /** TLBI_NH_ALL: every NS-EL1 entry of a VMID. */
  nhAll(words: Uint32Array): number {
    if (!this.smmu.capabilities.stage1) return CERROR.ILL;
    this.smmu.iotlb.dropVmid(TlbiNhVa.f.vmid.get(words));
    return this.done();
  }

  /** TLBI_NH_ASID: entries of one ASID that are not global, whatever their ASET. */
  nhAsid(words: Uint32Array): number {
    if (!this.smmu.capabilities.stage1) return CERROR.ILL;
    this.smmu.iotlb.dropAsid(WORLD.EL1, TlbiNhVa.f.vmid.get(words), TlbiNhVa.f.asid.get(words));
    return this.done();
  }

  /** TLBI_NH_VA: entries of one ASID and global ones, by address. */
  nhVa(words: Uint32Array): number {
    if (!this.smmu.capabilities.stage1) return CERROR.ILL;
    return this.byAddress(words, WORLD.EL1, TlbiNhVa.f.vmid.get(words), TlbiNhVa.f.asid.get(words));
  }

  /** TLBI_NH_VAA: entries of every ASID, by address. */
  nhVaa(words: Uint32Array): number {
    if (!this.smmu.capabilities.stage1) return CERROR.ILL;
    return this.byAddress(words, WORLD.EL1, TlbiNhVa.f.vmid.get(words), -1);
  }

  /** TLBI_S12_VMALL: every entry of a VMID, of either stage. */
  s12Vmall(words: Uint32Array): number {
    if (!this.smmu.capabilities.stage2) return CERROR.ILL;
    this.smmu.iotlb.dropBothStages(TlbiS2Ipa.f.vmid.get(words));
    return this.done();
  }

  /** TLBI_S2_IPA: entries of stage 2, by intermediate physical address. */
  s2Ipa(words: Uint32Array): number {
    if (!this.smmu.capabilities.stage2) return CERROR.ILL;
    return this.byAddress(words, WORLD.STAGE2, TlbiS2Ipa.f.vmid.get(words), -1);
  }

  /** TLBI_EL2_ALL: every EL2 and EL2-E2H entry. */
  el2All(): number {
    if (!this.smmu.capabilities.hyp) return CERROR.ILL;
    this.smmu.iotlb.dropWorld(WORLD.EL2);
    this.smmu.iotlb.dropWorld(WORLD.EL2_E2H);
    return this.done();
  }

  /** TLBI_EL2_ASID: entries of EL2-E2H; EL2 has no ASIDs. */
  el2Asid(words: Uint32Array): number {
    if (!this.smmu.capabilities.hyp) return CERROR.ILL;
    this.smmu.iotlb.dropAsid(WORLD.EL2_E2H, 0, TlbiNhVa.f.asid.get(words));
    return this.done();
  }

  /** TLBI_EL2_VA: the ASID counts with CR2.E2H only. */
  el2Va(words: Uint32Array): number {
    if (!this.smmu.capabilities.hyp) return CERROR.ILL;
    const { e2h } = this.smmu.registers;
    return this.byAddress(words, e2h ? WORLD.EL2_E2H : WORLD.EL2, 0, e2h ? TlbiNhVa.f.asid.get(words) : -1);
  }

  /** TLBI_EL2_VAA: entries of every ASID, by address. */
  el2Vaa(words: Uint32Array): number {
    if (!this.smmu.capabilities.hyp) return CERROR.ILL;
    return this.byAddress(words, this.smmu.registers.e2h ? WORLD.EL2_E2H : WORLD.EL2, 0, -1);
  }

  /** One page, or where RIL is implemented and TG is given, (NUM + 1) * 2^SCALE granules. Without TG those fields are ignored. */
  byAddress(words: Uint32Array, world: number, vmid: number, asid: number): number {
    const { smmu } = this;
    const { num, ttl, tg, leaf } = TlbiNhVa.f;
    const unit = smmu.capabilities.rangeInvalidation ? tg.get(words) : TLBI_TG.NONE;
    const granule = GRANULE_BITS[unit];
    let page = words[3] * 2 ** 20 + (words[2] >>> 12);
    let pages = 1;
    let level = 0;
    if (unit !== TLBI_TG.NONE) {
      level = ttl.get(words);
      const scale = this.scaleOf(words);
      if (num.get(words) === 0 && scale === 0 && level === 0) return CERROR.ILL;
      if (unit === TLBI_TG.GRANULE_16K && level === 1 && !smmu.capabilities.ds) return CERROR.ILL;
      const frames = powerOfTwo(granule - 12);
      page -= page % frames;
      pages = (num.get(words) + 1) * powerOfTwo(scale) * frames;
    }
    const last = Math.min(page + pages, PAGES) - 1;
    smmu.iotlb.dropRange({
      world,
      vmid,
      asid,
      first: page,
      last,
      level,
      granule,
      leaf: leaf.get(words) === 1,
      shared: false,
    });
    return this.done();
  }

  scaleOf(words: Uint32Array): number {
    if (!this.smmu.capabilities.ds) return TlbiNhVa.f.scale.get(words);
    return (words[0] >>> SCALE_WITH_DS.shift) & SCALE_WITH_DS.mask;
  }

  done(): number {
    this.smmu.invalidated();
    return CERROR.NONE;
  }
}
