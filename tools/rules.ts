import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findCitations } from './rules/citations.js';
import { readLitmus } from './rules/litmus-index.js';
import { loadParts } from './rules/load-parts.js';
import { printRules, reportRules } from './rules/rule-report.js';
import { readRules } from './rules/rule-table.js';
import { printSteps, reportSteps } from './rules/step-report.js';

const HELP = `pnpm rules: which tests cite each numbered rule of the specification

  --steps   instead: which step of the code each litmus mutant overrides
  --all     every test of a rule, not only the first ones
  --json    for programs
  --help    this

A test cites a rule by its id: in its name, in a string, or in a comment. Exit code 1: a rule has
neither a test nor a reason (tools/rules/rules.json), a citation names a rule that there is not, or
a mutant (tools/rules/litmus.json) has no step; 2: the command was not understood.`;

const OPTIONS = {
  steps: { type: 'boolean', default: false },
  all: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** The command, for the workspace in this folder. */
export async function main(args: readonly string[], root = process.cwd()): Promise<number> {
  const options = readOptions(args);
  if (options === null) return 2;
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  if (!existsSync(join(root, 'tools/rules'))) {
    console.error(`${root} has no tools/rules: run this in the root of the workspace`);
    return 2;
  }
  return options.steps ? await steps(root, options.json) : rules(root, options.json, options.all);
}

function readOptions(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}; --help tells what there is`);
    return null;
  }
}

function rules(root: string, json: boolean, all: boolean): number {
  const report = reportRules(readRules(join(root, 'tools/rules/rules.json')), findCitations(root));
  if (json) console.log(JSON.stringify(report, null, 2));
  else for (const line of printRules(report, all)) console.log(line);
  return report.missing.length + report.unknown.length === 0 ? 0 : 1;
}

async function steps(root: string, json: boolean): Promise<number> {
  const report = reportSteps(readLitmus(join(root, 'tools/rules/litmus.json')), await loadParts(root));
  if (json) console.log(JSON.stringify(report, null, 2));
  else for (const line of printSteps(report)) console.log(line);
  return report.every(({ problem }) => problem === null) ? 0 : 1;
}
