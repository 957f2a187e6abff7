import type { DirectedChooser } from '@iommukit/kernel';
import { roleOf } from './named-steps.js';

/**
 * Why a directed run did not meet its order, in words: a step that nobody takes, or steps that wait for each other.
 * `refusal`: why the run was refused, or null; `taken`: the named steps that happen without the order. Null when it was met.
 */
export function unmetOrder(
  chooser: DirectedChooser,
  refusal: string | null,
  taken: () => ReadonlySet<string>,
): string | null {
  const missing = chooser.orders.flatMap((order, i) => order.slice(chooser.taken[i]));
  if (missing.length === 0) return null;
  const why = refusal ?? `the order cannot be met: ${chooser.missing()}`;
  const steps = taken();
  const unknown = missing.find(({ task, step }) => !steps.has(`${roleOf(task)}.${step}`));
  if (unknown === undefined) return why;
  const known = [...steps].sort().join(', ');
  return `order: ${unknown.task}.${unknown.step} does not happen; without the order these named steps do: ${known}`;
}
