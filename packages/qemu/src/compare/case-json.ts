import { type Answers, CASE_VERSION, type CompareCase, type Observation, type Vector } from './case-format.js';

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const words = (list: readonly bigint[]): string[] => list.map(hex);

/** A case as JSON data: addresses and words as `0x…`. */
export function caseToJson(what: CompareCase): Record<string, unknown> {
  return {
    version: CASE_VERSION,
    machine: what.machine,
    note: what.note,
    identification: Object.fromEntries(Object.entries(what.identification).map(([name, value]) => [name, hex(value)])),
    memory: what.memory.map((piece) => ({ ...piece, address: hex(piece.address), words: words(piece.words) })),
    steps: what.steps.map((step) => {
      if (step.do === 'write') return { ...step, value: hex(step.value) };
      if (step.do === 'dma') return { ...step, iova: hex(step.iova) };
      if (step.do === 'queue') return { ...step, words: words(step.words) };
      return { ...step, address: hex(step.address), words: words(step.words) };
    }),
  };
}

function observationToJson(observation: Observation): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(observation).map(([name, value]) => [name, typeof value === 'bigint' ? hex(value) : value]),
  );
}

/** Answers as JSON data. */
export function answersToJson(answers: Answers): Record<string, unknown> {
  return {
    steps: answers.steps.map(observationToJson),
    end: observationToJson(answers.end),
    memory: Object.fromEntries([...answers.memory].map(([address, word]) => [hex(address), hex(word)])),
  };
}

/** A vector as JSON data. */
export function vectorToJson(vector: Vector): Record<string, unknown> {
  const { by, deviations, answers, further } = vector;
  return {
    ...caseToJson(vector.case),
    by,
    deviations,
    answers: answersToJson(answers),
    further: further.map((next) => ({ without: next.without, ...answersToJson(next.answers) })),
  };
}

/**
 * JSON data as text: a line a memory piece, step or observation, so that files stay readable and differences small.
 */
export function jsonText(value: unknown, depth = 0): string {
  const indent = '  '.repeat(depth + 1);
  const closing = '  '.repeat(depth);
  if (depth >= 2 || typeof value !== 'object' || value === null) return inline(value);
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    return `[\n${value.map((item) => `${indent}${jsonText(item, depth + 1)}`).join(',\n')}\n${closing}]`;
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return '{}';
  const lines = entries.map(([key, item]) => `${indent}${JSON.stringify(key)}: ${jsonText(item, depth + 1)}`);
  return `{\n${lines.join(',\n')}\n${closing}}`;
}

function inline(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 0) return '{}';
    return `{ ${entries.map(([key, item]) => `${JSON.stringify(key)}: ${inline(item)}`).join(', ')} }`;
  }
  return JSON.stringify(value);
}
