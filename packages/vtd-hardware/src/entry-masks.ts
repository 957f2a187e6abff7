import {
  SecondStageBlock1G,
  SecondStageBlock2M,
  SecondStagePage,
  SecondStageTable,
  X86Block1G,
  X86Block2M,
  X86Page,
  X86Table,
} from '@iommukit/paging';
import {
  ContextEntry,
  EcsContextEntry,
  EcsPasidEntry,
  EcsRootEntry,
  LegacyContextEntry,
  LegacyRootEntry,
  PASID_ENTRY_RESERVED_4_1,
  PasidDirEntry,
  PasidEntry,
  RootEntry,
} from '@iommukit/vtd-spec';
import type { VtdCapabilities } from './capabilities.js';
import { reservedMask } from './reserved.js';

/** Masks of the bits of entries that have to be 0, in 32-bit words: see {@link reservedMask}. */
export interface EntryMasks {
  readonly legacyRoot: Uint32Array;
  /** One half of a root entry of the scalable mode: 64 bits. */
  readonly rootHalf: Uint32Array;
  readonly legacyContext: Uint32Array;
  readonly context: Uint32Array;
  readonly directory: Uint32Array;
  readonly pasid: Uint32Array;
  readonly ecsRootHalf: Uint32Array;
  readonly ecsContext: Uint32Array;
  readonly ecsPasid: Uint32Array;
  /** Paging entries by what they are: a leaf of level 1, 2 or 3, or (index 0) a table. */
  readonly first: readonly Uint32Array[];
  readonly second: readonly Uint32Array[];
}

/** Fields that are reserved unless `there`. */
const unless = <T>(there: boolean, ...fields: T[]): T[] => (there ? [] : fields);

/** What a unit with these capabilities calls reserved (vtd.md 2). */
export function entryMasks(has: VtdCapabilities): EntryMasks {
  const { haw } = has;
  const { dte, paside, pre, ridPriv } = ContextEntry.f;
  const { slade, pwsnp, pgsnp, sre, eafe } = PasidEntry.f;
  const old = PASID_ENTRY_RESERVED_4_1.filter((key) => key !== 'ere' || !has.ers).map((key) => PasidEntry.f[key]);
  const ecs = EcsContextEntry.f;
  const snoop = [SecondStagePage, SecondStageBlock2M, SecondStageBlock1G].map((leaf) => leaf.f.snp);
  return {
    legacyRoot: reservedMask(LegacyRootEntry, haw),
    rootHalf: reservedMask(RootEntry, haw).subarray(0, 2),
    legacyContext: reservedMask(LegacyContextEntry, haw),
    context: reservedMask(ContextEntry, haw, [
      ...unless(has.dt, dte),
      ...unless(has.pasid, paside),
      ...unless(has.prs, pre),
      ...unless(has.rprivs, ridPriv),
    ]),
    directory: reservedMask(PasidDirEntry, haw),
    pasid: reservedMask(PasidEntry, haw, [
      ...old,
      ...unless(has.slads, slade),
      ...unless(has.smpwcs, pwsnp),
      ...unless(has.sc, pgsnp),
      ...unless(has.srs, sre),
      ...unless(has.eafs, eafe),
    ]),
    ecsRootHalf: reservedMask(EcsRootEntry, haw).subarray(0, 2),
    ecsContext: reservedMask(EcsContextEntry, haw, [
      ...unless(has.dis, ecs.dinve),
      ...unless(has.prs, ecs.pre),
      ...unless(has.pasid, ecs.paside),
      ...unless(has.eafs, ecs.eafe),
      ...unless(has.ers, ecs.ere),
      // There is no nested translation.
      ecs.neste,
    ]),
    ecsPasid: reservedMask(EcsPasidEntry, haw, unless(has.srs, EcsPasidEntry.f.sre)),
    first: [
      reservedMask(X86Table, haw, [X86Table.f.ps]),
      reservedMask(X86Page, haw),
      reservedMask(X86Block2M, haw),
      reservedMask(X86Block1G, haw, unless(has.fl1gp, X86Block1G.f.ps)),
    ],
    second: [
      reservedMask(SecondStageTable, haw, [SecondStageTable.f.tm, SecondStageTable.f.ps]),
      reservedMask(SecondStagePage, haw, [SecondStagePage.f.tm, ...unless(has.sc, snoop[0])]),
      reservedMask(SecondStageBlock2M, haw, [
        SecondStageBlock2M.f.tm,
        ...unless(has.sc, snoop[1]),
        ...unless((has.sllps & 1) !== 0, SecondStageBlock2M.f.ps),
      ]),
      reservedMask(SecondStageBlock1G, haw, [
        SecondStageBlock1G.f.tm,
        ...unless(has.sc, snoop[2]),
        ...unless((has.sllps & 2) !== 0, SecondStageBlock1G.f.ps),
      ]),
    ],
  };
}
