import { readdirSync, readFileSync } from 'node:fs';
import { readVector, type Vector } from '@iommukit/qemu';

/** A frozen vector, and what its file is called. */
export interface NamedVector {
  readonly name: string;
  readonly vector: Vector;
}

/** The frozen vectors of a backend, by name. */
export function vectorsOf(backend: 'vtd' | 'smmuv3'): readonly NamedVector[] {
  const folder = new URL(`../../../packages/qemu/vectors/${backend}/`, import.meta.url);
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => ({
      name: file.slice(0, -'.json'.length),
      vector: readVector(JSON.parse(readFileSync(new URL(file, folder), 'utf8'))),
    }));
}
