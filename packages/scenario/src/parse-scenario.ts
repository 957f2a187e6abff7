import * as v from 'valibot';
import { type Document, isMap, isNode, LineCounter, parseDocument } from 'yaml';
import { ScenarioError } from './scenario-error.js';
import { Scenario } from './schema.js';

type Path = readonly (string | number)[];

/**
 * Reads a scenario's YAML. `file` names it in errors.
 * @throws ScenarioError that names file, line and column
 */
export function parseScenario(text: string, file: string): Scenario {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [problem] = document.errors;
  if (problem !== undefined) throw new ScenarioError(`${place(file, lines, problem.pos[0])}: ${problem.message}`);
  const result = v.safeParse(Scenario, withSteps(plain(document, file)));
  if (result.success) return checkActors(result.output, document, file, lines);
  // A mistyped key shows as an unknown one and a missing one: the unknown one is what the reader looks for.
  const issue = result.issues.find(isUnknownKey) ?? result.issues[0];
  const path = (issue.path ?? []).map((item) => item.key as string | number);
  throw new ScenarioError(`${place(file, lines, offsetOf(document, path))}: ${explain(issue, path)}`);
}

function plain(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new ScenarioError(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Steps are written `- bind`, `- munmap: src` or `- mmap: { buffer: src, pages: 2 }`; the schema wants `{ do, … }`. */
function withSteps(value: unknown): unknown {
  if (!isRecord(value) || !isRecord(value['actors'])) return value;
  const actors = Object.entries(value['actors']).map(([actor, steps]) => [
    actor,
    Array.isArray(steps) ? steps.map(stepOf) : steps,
  ]);
  return { ...value, actors: Object.fromEntries(actors) as unknown };
}

function stepOf(step: unknown): unknown {
  if (typeof step === 'string') return { do: step };
  if (!isRecord(step)) return step;
  const keys = Object.keys(step);
  if (keys.length !== 1) return step;
  const [verb] = keys as [string];
  const rest = step[verb];
  if (isRecord(rest)) return { ...rest, do: verb };
  return { do: verb, [shorthand(verb)]: rest };
}

/** What `- verb: value` gives. */
function shorthand(verb: string): string {
  if (verb === 'open') return 'device';
  return verb === 'wait' ? 'outcome' : 'buffer';
}

function checkActors(scenario: Scenario, document: Document, file: string, lines: LineCounter): Scenario {
  for (const [actor, steps] of Object.entries(scenario.actors)) {
    const known = new Set<string>();
    steps.forEach((step, i) => {
      const at = (): string => place(file, lines, offsetOf(document, ['actors', actor, i]));
      if (step.do === 'mmap') known.add(step.buffer);
      const used = 'buffer' in step ? [step.buffer] : step.do === 'submit' ? [step.from, step.to] : [];
      const unknown = used.find((buffer) => buffer !== undefined && !known.has(buffer));
      if (unknown !== undefined)
        throw new ScenarioError(`${at()}: '${unknown}' is not mapped here; an earlier mmap of ${actor} makes it`);
      const ends = step.do === 'exit' && i < steps.length - 1;
      if (ends) throw new ScenarioError(`${at()}: exit is a process's last step`);
    });
  }
  return scenario;
}

function isUnknownKey(issue: v.BaseIssue<unknown>): boolean {
  return issue.type === 'strict_object' && issue.expected === 'never';
}

function explain(issue: v.BaseIssue<unknown>, path: Path): string {
  const at = path.length === 0 ? 'the scenario' : `'${path.join('.')}'`;
  if (isUnknownKey(issue)) {
    return `'${String(path.at(-1))}' is not a key here`;
  }
  if (issue.type === 'strict_object' && issue.received === 'undefined')
    return `the key '${String(path.at(-1))}' is missing`;
  if (issue.type === 'variant')
    return `no step is called ${issue.received}; there are ${issue.expected?.replace(/[()"]/g, '') ?? ''}`;
  return `${at}: ${issue.message}`;
}

/** The text offset of the deepest node along the path that exists. */
function offsetOf(document: Document, path: Path): number {
  for (let depth = path.length; depth >= 0; depth--) {
    const node = document.getIn(textPath(document, path.slice(0, depth)), true);
    if (isNode(node) && node.range) return keyOffset(document, path.slice(0, depth)) ?? node.range[0];
  }
  return 0;
}

/** A wrong key is pointed at itself, not at its value. */
function keyOffset(document: Document, path: Path): number | undefined {
  const parent = document.getIn(textPath(document, path).slice(0, -1), true);
  if (!isMap(parent)) return undefined;
  const pair = parent.items.find((item) => isNode(item.key) && String(item.key) === String(path.at(-1)));
  return isNode(pair?.key) ? pair.key.range?.[0] : undefined;
}

/** The path as the text has it: a step's fields lie below its verb. */
function textPath(document: Document, path: Path): Path {
  if (path[0] !== 'actors' || path.length <= 3) return path;
  const step = document.getIn(path.slice(0, 3), true);
  if (!isMap(step) || step.items.length !== 1) return path;
  const verb = String(step.items[0]!.key);
  const inner = step.get(verb, true);
  return isMap(inner) ? [...path.slice(0, 3), verb, ...path.slice(3)] : [...path.slice(0, 3), verb];
}

function place(file: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${file}:${line}:${col}`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
