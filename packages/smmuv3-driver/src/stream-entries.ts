import { EATS, S1DSS, S1FMT, SHAREABILITY, STE, STE_CONFIG, STRW, WALK_CACHE } from '@iommukit/smmuv3-spec';

/** What a stage-1 STE says about its device (SMMU-8). */
export interface StageOneStream {
  /** Physical address of the table of context descriptors. */
  readonly contexts: number;
  /** log2 of the number of descriptors. */
  readonly contextBits: number;
  /** 2-level table with leaves of 64 KiB. */
  readonly twoLevel: boolean;
  /** Requests without PASID: terminated, or translated by descriptor 0. */
  readonly withoutPasid: 'terminate' | 'ssid0';
  /** The device translates by itself. */
  readonly ats: boolean;
  /** The SMMU could stall this device's transactions, and must not (SMMU-12). */
  readonly noStall: boolean;
  /** Automatic responses to its page requests carry a PASID (PCI-8). */
  readonly pasidInResponses: boolean;
  /** Translations belong to the EL2-E2H world, as those of a kernel at EL2 do (SMMU-14). */
  readonly el2?: boolean;
}

/** An entry that aborts every transaction without an event. */
export function abortStream(): Uint32Array {
  return STE.make({ v: 1, config: STE_CONFIG.ABORT });
}

/** An entry that sends every transaction through a table of context descriptors (stage 1). */
export function stageOneStream(stream: StageOneStream): Uint32Array {
  return STE.make({
    v: 1,
    config: STE_CONFIG.S1,
    s1Fmt: stream.twoLevel ? S1FMT.TWO_LEVEL_64K : S1FMT.LINEAR,
    s1ContextPtr: stream.contexts,
    s1cdMax: stream.contextBits,
    s1dss: stream.withoutPasid === 'ssid0' ? S1DSS.SSID0 : S1DSS.TERMINATE,
    s1cir: WALK_CACHE.WB_RA,
    s1cor: WALK_CACHE.WB_RA,
    s1csh: SHAREABILITY.INNER,
    ppar: stream.pasidInResponses ? 1 : 0,
    s1stalld: stream.noStall ? 1 : 0,
    eats: stream.ats ? EATS.FULL : EATS.ABORT,
    strw: stream.el2 === true ? STRW.EL2 : STRW.NS_EL1,
  });
}
