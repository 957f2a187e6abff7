import { join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import { build } from 'esbuild';
import { type WorkspacePackage, workspacePackages } from './workspace.js';

/** The packages that may need Node; every other one runs in a browser too. */
const nodeOnly = ['@iommukit/qemu'];

/** What a bundle that is loaded in a browser, or a worker there, finds besides the language itself. */
const browser = { console, TextDecoder, TextEncoder, URL };

/** Bundles a package for a browser and loads the bundle where there is no Node. Returns what is wrong, one line each. */
export async function browserProblems(folder: string): Promise<string[]> {
  try {
    const { outputFiles } = await build({
      entryPoints: [join(folder, 'src/index.ts')],
      bundle: true,
      write: false,
      format: 'iife',
      platform: 'browser',
      target: 'es2022',
      conditions: ['@iommukit/source'],
      logLevel: 'silent',
    });
    runInContext(outputFiles[0]!.text, createContext({ ...browser }));
    return [];
  } catch (error) {
    const errors = (error as { errors?: { text: string; location: { file: string; line: number } | null }[] }).errors;
    if (errors === undefined) return [`loading the bundle: ${error}`];
    return errors.map(({ text, location }) => `${location ? `${location.file}:${location.line}: ` : ''}${text}`);
  }
}

const runsInBrowser = ({ path, name }: WorkspacePackage) => path.startsWith('packages/') && !nodeOnly.includes(name);

/** The command: prints what is wrong and returns the exit code. */
export async function main(): Promise<number> {
  const packages = workspacePackages(process.cwd()).filter(runsInBrowser);
  const problems = await Promise.all(packages.map(({ folder }) => browserProblems(folder)));
  for (const [index, { name }] of packages.entries()) {
    for (const problem of problems[index]!) console.error(`${name}: ${problem}`);
  }
  const bad = problems.filter((found) => found.length > 0).length;
  console.log(`${packages.length - bad} of ${packages.length} packages load in a browser`);
  return bad === 0 && packages.length > 0 ? 0 : 1;
}
