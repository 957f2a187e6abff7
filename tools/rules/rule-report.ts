import type { Citation } from './citations.js';
import type { Rule } from './rule-table.js';

/** A rule with the tests that cite it. */
export interface CitedRule extends Rule {
  readonly tests: readonly Citation[];
}

/** What is tested and what is not. */
export interface RuleReport {
  readonly rules: readonly CitedRule[];
  /** Citations of rules that the table does not have. */
  readonly unknown: readonly Citation[];
  /** Rules with neither a test nor a reason. */
  readonly missing: readonly Rule[];
}

/** Puts rules and citations together. */
export function reportRules(rules: readonly Rule[], citations: readonly Citation[]): RuleReport {
  const known = new Set(rules.map(({ id }) => id));
  const cited = rules.map((rule) => ({ ...rule, tests: citations.filter((citation) => citation.rule === rule.id) }));
  return {
    rules: cited,
    unknown: citations.filter(({ rule }) => !known.has(rule)),
    missing: cited.filter(({ tests, reason }) => tests.length === 0 && reason === undefined),
  };
}

const WIDTH = 100;
const INDENT = ' '.repeat(11);
/** Tests shown of each rule, unless all are asked for. */
const FEW = 2;

/** The report as text: each rule, then its tests or the reason that it has none. */
export function printRules({ rules, unknown, missing }: RuleReport, all: boolean): string[] {
  const lines = rules.flatMap((rule) => [clipped(`${rule.id.padEnd(10)} ${rule.text}`), ...testsOf(rule, all)]);
  for (const { rule, file, line } of unknown) lines.push(clipped(`${file}:${line} cites ${rule}, which there is not`));
  const tested = rules.filter(({ tests }) => tests.length > 0).length;
  const excused = rules.length - tested - missing.length;
  lines.push(
    '',
    `${rules.length} rules: ${tested} with tests, ${excused} with a reason, ${missing.length} with neither`,
  );
  return [...lines, ...wrap(missing.map(({ id }) => id))];
}

function testsOf({ tests, reason }: CitedRule, all: boolean): string[] {
  if (tests.length === 0) return [clipped(INDENT + (reason === undefined ? '✗ no test' : `– ${reason}`))];
  const names = [...new Set(tests.map(({ file, test }) => `${packageOf(file)}: ${innermost(test)}`))];
  const shown = all ? names : names.slice(0, FEW);
  const more = names.length - shown.length;
  return [...shown.map((name) => clipped(INDENT + name)), ...(more > 0 ? [`${INDENT}and ${more} more`] : [])];
}

/** The test's own name, on one line. */
function innermost(test: string): string {
  return test
    .slice(test.lastIndexOf(' › ') + 1)
    .replace(/^› /, '')
    .replace(/\s+/g, ' ');
}

/** `core` for packages/core/src/x.test.ts. */
function packageOf(file: string): string {
  return file.split('/')[1] ?? file;
}

/** One line of at most {@link WIDTH} columns. */
export function clipped(line: string): string {
  const letters = [...line];
  return letters.length <= WIDTH ? line : `${letters.slice(0, WIDTH - 1).join('')}…`;
}

function wrap(words: readonly string[]): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length + 1 <= WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
