import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findCitations } from './rules/citations.js';
import { readLitmus } from './rules/litmus-index.js';
import { loadParts } from './rules/load-parts.js';
import { printRules, type RuleReport, reportRules } from './rules/rule-report.js';
import { readRules } from './rules/rule-table.js';
import { type MutantStep, printSteps, reportSteps } from './rules/step-report.js';

const HELP = `pnpm rules: which tests cite each numbered rule of the specification

  --steps   instead: which step of the code each litmus mutant overrides
  --check   both, and of both only what is wrong
  --all     every test of a rule, not only the first ones
  --json    for programs
  --help    this

A test cites a rule by its id: in its name, in a string, or in a comment. Exit code 1: a rule has
neither a test nor a reason (tools/rules/rules.json), a citation names a rule that there is not, or
a mutant (tools/rules/litmus.json) has no step; 2: the command was not understood.`;

const OPTIONS = {
  steps: { type: 'boolean', default: false },
  check: { type: 'boolean', default: false },
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
  if (options.check) return check(root);
  return options.steps ? await steps(root, options.json) : rules(root, options.json, options.all);
}

/** What `pnpm check` runs. */
async function check(root: string): Promise<number> {
  const { rules, missing, unknown } = readReport(root);
  const mutants = await readSteps(root);
  const wrong = mutants.filter(({ problem }) => problem !== null);
  for (const { id, text } of missing) console.error(`${id} has neither a test nor a reason: ${text}`);
  for (const { rule, file, line } of unknown) console.error(`${file}:${line} cites ${rule}, which there is not`);
  for (const { litmus, mutant, problem } of wrong) console.error(`${litmus} ${mutant}: ${problem}`);
  console.log(
    `${rules.length} rules, ${mutants.length} mutants, ${missing.length + unknown.length + wrong.length} findings`,
  );
  return missing.length + unknown.length + wrong.length === 0 ? 0 : 1;
}

function readReport(root: string): RuleReport {
  return reportRules(readRules(join(root, 'tools/rules/rules.json')), findCitations(root));
}

async function readSteps(root: string): Promise<MutantStep[]> {
  return reportSteps(readLitmus(join(root, 'tools/rules/litmus.json')), await loadParts(root));
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
  const report = readReport(root);
  if (json) console.log(JSON.stringify(report, null, 2));
  else for (const line of printRules(report, all)) console.log(line);
  return report.missing.length + report.unknown.length === 0 ? 0 : 1;
}

async function steps(root: string, json: boolean): Promise<number> {
  const report = await readSteps(root);
  if (json) console.log(JSON.stringify(report, null, 2));
  else for (const line of printSteps(report)) console.log(line);
  return report.every(({ problem }) => problem === null) ? 0 : 1;
}
