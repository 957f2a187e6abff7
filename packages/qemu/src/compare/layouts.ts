import type { AnyLayout } from '@iommukit/bitfield';
import * as paging from '@iommukit/paging';
import * as smmuv3 from '@iommukit/smmuv3-spec';
import * as vtd from '@iommukit/vtd-spec';
import type { CompareMachine } from './machine.js';

const isLayout = (value: unknown): value is AnyLayout =>
  typeof value === 'object' && value !== null && 'format' in value && 'fields' in value && 'ref' in value;

const named = (module: object): [string, AnyLayout][] =>
  Object.values(module)
    .filter(isLayout)
    .map((layout) => [layout.name, layout]);

const SMMU_TABLES = Object.values(paging.VMSA).flatMap((of) => [of.page, of.table] as const);

/** The declaration that a backend has under a name; null for what has none. */
export function layoutNamed(backend: CompareMachine['backend'], name: string): AnyLayout | null {
  const lists =
    backend === 'vtd'
      ? [...named(vtd), ...named(paging)]
      : [...named(smmuv3), ...SMMU_TABLES.map((layout) => [layout.name, layout] as [string, AnyLayout])];
  return lists.find(([known]) => known === name)?.[1] ?? null;
}
