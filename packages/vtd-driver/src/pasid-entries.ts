import { AW, ContextEntry, FIRST_STAGE_DID, FLPM, PasidEntry, PGTT } from '@iommukit/vtd-spec';

/** What a device's context entry says in scalable mode. */
export interface ScalableContext {
  readonly directory: number;
  readonly pdts: number;
  /** The device translates by itself. */
  readonly ats: boolean;
  readonly pasids: boolean;
  /** It sends page requests. */
  readonly pri: boolean;
}

/** A context entry of scalable mode; requests without PASID use PASID 0 (VTD-8, VTD-40). */
export function scalableContext({ directory, pdts, ats, pasids, pri }: ScalableContext): Uint32Array {
  return ContextEntry.make({
    p: 1,
    pasiddirptr: directory,
    pdts,
    dte: ats ? 1 : 0,
    paside: pasids ? 1 : 0,
    pre: pri ? 1 : 0,
  });
}

/** An address space whose tables a first-stage walk reads. */
export interface FirstStage {
  /** Physical address of its top-level table. */
  readonly pgd: number;
  readonly levels: 4 | 5;
  /** Tag of its translations: 1 for every process (VTD-5). */
  readonly did?: number;
  /** Requests may be privileged: the kernel's own tables (VTD-42). */
  readonly supervisor?: boolean;
  /** Walks snoop the CPUs' caches (PWSNP; default true): reserved where ECAP.SMPWCS is 0. */
  readonly snooped?: boolean;
}

/** The PASID entry of an address space. */
export function firstStageEntry(space: FirstStage): Uint32Array {
  const { pgd, levels, did = FIRST_STAGE_DID, supervisor = false, snooped = true } = space;
  return PasidEntry.make({
    p: 1,
    aw: AW.BITS_48,
    pgtt: PGTT.FIRST_STAGE,
    did,
    pwsnp: snooped ? 1 : 0,
    flpm: levels === 5 ? FLPM.LEVELS_5 : FLPM.LEVELS_4,
    sre: supervisor ? 1 : 0,
    wpe: supervisor ? 1 : 0,
    flptptr: pgd,
  });
}

/** Entry word 0 of an address space that has died: nothing is translated, and nothing of it recorded (VTD-20). */
export const QUIET = PasidEntry.f.fpd.maskLo;

/** Word 0 of an entry that is not present any more, all else as it was; `quiet`: and whose faults are not recorded. */
export function blockedWord(word: number, quiet: boolean): number {
  return ((word & ~PasidEntry.f.p.maskLo) | (quiet ? QUIET : 0)) >>> 0;
}
