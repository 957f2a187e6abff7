import type { Order, OrderedStep } from '@iommukit/kernel';
import { ScenarioError } from './scenario-error.js';

/**
 * Reads `order:`: one or more chains `task.step < task.step < …`.
 * @throws ScenarioError when a chain is malformed
 */
export function parseOrder(text: string | readonly string[] | undefined): readonly Order[] {
  if (text === undefined) return [];
  return (typeof text === 'string' ? [text] : text).map(chain);
}

function chain(text: string): Order {
  const steps = text.split('<').map((part) => stepOf(part.trim(), text));
  if (steps.length < 2) throw new ScenarioError(`order '${text}': a chain names at least two steps, as in a.b < c.d`);
  return steps;
}

function stepOf(part: string, text: string): OrderedStep {
  const match = /^([a-z][\w/-]*)\.([a-z][\w-]*)$/.exec(part);
  if (match === null) throw new ScenarioError(`order '${text}': '${part}' is not task.step, as in fault-worker.mmget`);
  return { task: match[1]!, step: match[2]! };
}
