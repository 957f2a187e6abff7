import type { AnyLayout } from '@iommukit/bitfield';
import * as paging from '@iommukit/paging';
import * as smmuv3 from '@iommukit/smmuv3-spec';
import * as vtd from '@iommukit/vtd-spec';
import type { CompareMachine } from './machine.js';

const isLayout = (value: unknown): value is AnyLayout =>
  typeof value === 'object' && value !== null && 'format' in value && 'fields' in value && 'ref' in value;

/** Layouts by name; of several with one name the first. */
const byName = (...lists: readonly (readonly unknown[])[]): ReadonlyMap<string, AnyLayout> =>
  new Map(
    lists
      .flat()
      .filter(isLayout)
      .map((layout) => [layout.name, layout] as const)
      .reverse(),
  );

const { SecondStageBlock1G, SecondStageBlock2M, SecondStagePage, SecondStageTable } = paging;
const { X86Block1G, X86Block2M, X86Page, X86Table } = paging;

const LAYOUTS = {
  vtd: byName(
    Object.values(vtd),
    [X86Page, X86Block2M, X86Block1G, X86Table],
    [SecondStagePage, SecondStageBlock2M, SecondStageBlock1G, SecondStageTable],
  ),
  // Granules differ in where addresses begin; what people read are the bits around them.
  smmuv3: byName(
    Object.values(smmuv3),
    Object.values(paging.VMSA).flatMap((of) => Object.values(of)),
  ),
} as const;

/** The declaration that a backend has under a name; null for what has none. */
export function layoutNamed(backend: CompareMachine['backend'], name: string): AnyLayout | null {
  return LAYOUTS[backend].get(name) ?? null;
}
