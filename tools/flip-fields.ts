import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { literalTests } from './flip-fields/bundle-tests.js';
import { type FlipReport, printFlips, reportFlips } from './flip-fields/flip-report.js';
import { workspacePackages } from './workspace.js';

/** Percent of the fields that tests have to catch. */
const LEAST = 95;

const HELP = `pnpm fields [PACKAGE…]: which declared fields the tests would let stand at a wrong place

Moves each field of each declared register, table, descriptor and record by one bit (up; down where
there is no room), runs the package's tests against that declaration, and reports the fields of
which no test notices. Packages: every *-spec, and paging, unless they are named. Properties are not
run: they follow the declarations wherever these go.

  --check   only what is wrong
  --json    for programs
  --help    this

Exit code 1: a package's tests catch less than ${LEAST} % of its fields; 2: the command was not understood.`;

const OPTIONS = {
  check: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** The command, for the workspace in this folder. */
export async function main(args: readonly string[], root = process.cwd()): Promise<number> {
  const parsed = readOptions(args);
  if (parsed === null) return 2;
  const { values, positionals } = parsed;
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const known = declaringPackages(root);
  const unknown = positionals.filter((name) => !known.includes(name));
  if (unknown.length > 0 || known.length === 0) {
    console.error(`no declarations in ${unknown.join(', ') || root}; there are some in ${known.join(', ') || 'none'}`);
    return 2;
  }
  const reports: FlipReport[] = [];
  for (const name of positionals.length > 0 ? positionals : known) {
    reports.push(await reportFlips(name, join(root, 'packages', name)));
  }
  const poor = reports.filter(({ percent }) => percent < LEAST);
  if (values.json) console.log(JSON.stringify(reports, null, 2));
  else for (const line of printFlips(values.check ? poor : reports, LEAST)) console.log(line);
  if (values.check) console.log(summary(reports, poor));
  return poor.length === 0 ? 0 : 1;
}

const summary = (reports: readonly FlipReport[], poor: readonly FlipReport[]): string => {
  const fields = reports.reduce((sum, report) => sum + report.fields, 0);
  const caught = reports.reduce((sum, report) => sum + report.fields - report.survivors.length, 0);
  return `${caught} of ${fields} moved fields caught, ${poor.length} packages below ${LEAST} %`;
};

/** The packages that are declarations, and have tests to catch them. */
function declaringPackages(root: string): string[] {
  return workspacePackages(root)
    .filter(({ path, folder }) => /^packages\/([\w-]+-spec|paging)$/.test(path) && literalTests(folder).length > 0)
    .map(({ path }) => path.slice('packages/'.length));
}

function readOptions(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}; --help tells what there is`);
    return null;
  }
}
