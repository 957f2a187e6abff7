import {
  CD_LEAF_BITS,
  EATS,
  S1DSS,
  S1FMT,
  SHAREABILITY,
  SHCFG,
  STE,
  STE_CONFIG,
  STRW,
  WALK_CACHE,
} from '@iommukit/smmuv3-spec';

/** What a stage-1 STE says about its device (SMMU-8). */
export interface StageOneStream {
  /** Physical address of the table of context descriptors. */
  readonly contexts: number;
  /** log2 of the number of descriptors. */
  readonly contextBits: number;
  readonly twoLevel: boolean;
  /** log2 of the descriptors in a leaf of a 2-level table: 6, or 10 (the default). */
  readonly leafBits?: number;
  /** Requests without PASID: terminated, not translated, or translated by descriptor 0. */
  readonly withoutPasid: 'terminate' | 'bypass' | 'ssid0';
  /** The device translates by itself. */
  readonly ats: boolean;
  /** The SMMU could stall this device's transactions, and must not (SMMU-12). */
  readonly noStall: boolean;
  /** Automatic responses to its page requests carry a PASID (PCI-8). */
  readonly pasidInResponses: boolean;
  /** Translations belong to the EL2-E2H world, as those of a kernel at EL2 do (SMMU-14). */
  readonly el2?: boolean;
  /** The SMMU overrides memory attributes where it does not translate (IDR1.ATTR_TYPES_OVR). */
  readonly attributeOverride?: boolean;
}

const WITHOUT_PASID = { terminate: S1DSS.TERMINATE, bypass: S1DSS.BYPASS, ssid0: S1DSS.SSID0 };

/** An entry that aborts every transaction without an event. */
export function abortStream(): Uint32Array {
  return STE.make({ v: 1, config: STE_CONFIG.ABORT });
}

/** An entry that lets every transaction pass as it is. */
export function bypassStream(attributeOverride: boolean): Uint32Array {
  return STE.make({ v: 1, config: STE_CONFIG.BYPASS, shcfg: attributeOverride ? SHCFG.INCOMING : 0 });
}

/** An entry that sends every transaction through a table of context descriptors (stage 1). */
export function stageOneStream(stream: StageOneStream): Uint32Array {
  return STE.make({
    v: 1,
    config: STE_CONFIG.S1,
    s1Fmt: formatOf(stream),
    s1ContextPtr: stream.contexts,
    s1cdMax: stream.contextBits,
    s1dss: WITHOUT_PASID[stream.withoutPasid],
    s1cir: WALK_CACHE.WB_RA,
    s1cor: WALK_CACHE.WB_RA,
    s1csh: SHAREABILITY.INNER,
    ppar: stream.pasidInResponses ? 1 : 0,
    s1stalld: stream.noStall ? 1 : 0,
    eats: stream.ats ? EATS.FULL : EATS.ABORT,
    strw: stream.el2 === true ? STRW.EL2 : STRW.NS_EL1,
    shcfg: stream.attributeOverride === true && stream.withoutPasid === 'bypass' ? SHCFG.INCOMING : 0,
  });
}

function formatOf({ twoLevel, leafBits }: StageOneStream): number {
  if (!twoLevel) return S1FMT.LINEAR;
  return leafBits === CD_LEAF_BITS[S1FMT.TWO_LEVEL_4K] ? S1FMT.TWO_LEVEL_4K : S1FMT.TWO_LEVEL_64K;
}
