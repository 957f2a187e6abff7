import type { CompareCase } from './case-format.js';
import type { CompareMachine } from './machine.js';
import { generateSmmuV3 } from './smmuv3/generate.js';
import { generateVtd } from './vtd/generate.js';

/** Case `index` of a run: a function of its arguments alone. */
export function generateCase(
  machine: CompareMachine,
  identification: Readonly<Record<string, bigint>>,
  seed: number,
  index: number,
): CompareCase {
  const generate = machine.backend === 'vtd' ? generateVtd : generateSmmuV3;
  return generate(machine, identification, seed, index);
}
