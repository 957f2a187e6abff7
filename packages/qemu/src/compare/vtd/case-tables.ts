import {
  CONTEXT_TT,
  ContextEntry,
  LegacyContextEntry,
  PasidDirEntry,
  PasidEntry,
  PGTT,
  RootEntry,
} from '@iommukit/vtd-spec';
import type { DeviationContext } from '../../deviations.js';
import { memoryBefore } from '../case-memory.js';
import { valueIn } from '../field-bits.js';
import { compareMachine } from '../machine.js';

/** The configuration that an access of a case goes through, as far as it can be followed; words as software left them. */
export interface VtdPath {
  readonly iova: bigint;
  readonly root: readonly bigint[];
  readonly context: readonly bigint[];
  /** Empty in legacy mode, or where nothing leads there. */
  readonly directory: readonly bigint[];
  readonly pasid: readonly bigint[];
}

const ADDRESS = 0xffff_ffff_f000n;

/** The path of the access that step `index` is; null for other steps. */
export function pathOf({ case: what }: DeviationContext, index: number): VtdPath | null {
  const step = what.steps[index];
  const machine = compareMachine(what.machine);
  if (step?.do !== 'dma' || machine === null) return null;
  const memory = memoryBefore(what, index);
  const words = (at: bigint, bytes: number): bigint[] =>
    Array.from({ length: bytes / 8 }, (_, i) => memory.get(Number(at) + i * 8) ?? 0n);
  const rid = BigInt(machine.devices[step.device]);
  const root = words(BigInt(machine.arena.base), RootEntry.bytes);
  const table = root[0]! & ADDRESS;
  const { iova } = step;
  if (what.machine === 'vtd-legacy') {
    const context = words(table + rid * BigInt(LegacyContextEntry.bytes), LegacyContextEntry.bytes);
    return { iova, root, context, directory: [], pasid: [] };
  }
  const context = words(table + rid * BigInt(ContextEntry.bytes), ContextEntry.bytes);
  const directory = words(context[0]! & ADDRESS, PasidDirEntry.bytes);
  const pasid = words(directory[0]! & ADDRESS, PasidEntry.bytes);
  return { iova, root, context, directory, pasid };
}

/** The path ends in an entry that passes requests through. */
export function passesThrough({ context, pasid }: VtdPath): boolean {
  if (pasid.length > 0) return valueIn(pasid[0]!, PasidEntry.f.pgtt) === BigInt(PGTT.PASS_THROUGH);
  return valueIn(context[0]!, LegacyContextEntry.f.tt) === BigInt(CONTEXT_TT.PASS_THROUGH);
}
