import * as v from 'valibot';
import { checkActors } from './check-actor.js';
import { checkUnits } from './check-units.js';
import { parseOrder } from './parse-order.js';
import { ScenarioError } from './scenario-error.js';
import { Scenario, Step } from './schema.js';
import { type Path, YamlPlaces } from './yaml-places.js';

/**
 * Reads and checks a scenario's YAML. `file` names it in errors.
 * @throws ScenarioError that names file, line and column
 */
export function parseScenario(text: string, file: string): Scenario {
  const places = new YamlPlaces(text, file);
  const value = places.plain();
  if (!isRecord(value))
    throw new ScenarioError(`${places.at([])}: a scenario has name:, about:, platform: and actors:`);
  const result = v.safeParse(Scenario, withSteps(value));
  if (!result.success) {
    // A mistyped key shows as an unknown one and a missing one: the unknown one is what the reader looks for.
    const issue = result.issues.find(isUnknownKey) ?? result.issues[0];
    const path = (issue.path ?? []).map((item) => item.key as string | number);
    throw new ScenarioError(`${places.at(path)}: ${explain(issue, path)}`);
  }
  checkMeaning(result.output, places);
  return result.output;
}

function checkMeaning(scenario: Scenario, places: YamlPlaces): void {
  checkUnits(scenario, places);
  checkActors(scenario, places);
  try {
    parseOrder(scenario.order);
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error;
    throw new ScenarioError(`${places.at(['order'])}: ${error.message}`);
  }
}

/** Steps are written `- bind`, `- munmap: src` or `- mmap: { buffer: src, pages: 2 }`; the schema wants `{ do, … }`. */
function withSteps(value: Record<string, unknown>): unknown {
  if (!isRecord(value['actors'])) return value;
  const actors = Object.entries(value['actors']).map(([actor, steps]) => [
    actor,
    Array.isArray(steps) ? steps.map(stepOf) : steps,
  ]);
  return { ...value, actors: Object.fromEntries(actors) as unknown };
}

/** What `- verb: value` gives. */
const SHORT: Readonly<Record<string, string>> = {
  open: 'device',
  wait: 'outcome',
  sleep: 'ns',
  bind: 'refused',
  fill: 'buffer',
  expect: 'buffer',
  munmap: 'buffer',
  read: 'buffer',
  madvise: 'buffer',
  migrate: 'buffer',
  reclaim: 'buffer',
  'dma-unmap': 'buffer',
  'supervisor-bind': 'refused',
  'supervisor-unmap': 'buffer',
  fork: 'child',
  thread: 'child',
  join: 'child',
};

function stepOf(step: unknown): unknown {
  if (typeof step === 'string') return { do: step };
  if (!isRecord(step)) return step;
  const keys = Object.keys(step);
  if (keys.length !== 1) return step;
  const [verb] = keys as [string];
  const rest = step[verb];
  if (isRecord(rest)) return { ...rest, do: verb };
  return rest === null ? { do: verb } : { do: verb, [SHORT[verb] ?? String(rest)]: rest };
}

function isUnknownKey(issue: v.BaseIssue<unknown>): boolean {
  return issue.type === 'strict_object' && issue.expected === 'never';
}

function explain(issue: v.BaseIssue<unknown>, path: Path): string {
  if (isUnknownKey(issue)) return `'${String(path.at(-1))}' is not a key here`;
  if (issue.type === 'strict_object' && issue.received === 'undefined')
    return `the key '${String(path.at(-1))}' is missing`;
  if (issue.type === 'variant') {
    const isNamed = issue.received?.startsWith('"') ?? false;
    const what = isNamed
      ? `no step is called ${issue.received}`
      : "a step is one key, as in '- bind' or '- munmap: src'";
    return `${what}; there are ${Step.options.map(({ entries }) => entries.do.literal).join(', ')}`;
  }
  return `'${path.join('.')}': ${issue.message}`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
