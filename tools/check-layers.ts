import { createRequire } from 'node:module';
import { join } from 'node:path';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import extractTSConfig from 'dependency-cruiser/config-utl/extract-ts-config';
import { workspacePackages } from './workspace.js';

/** What the layer check found in a workspace. */
export interface LayerReport {
  /** Every violation as `rule: from → to`, sorted. */
  readonly violations: readonly string[];
  /** How many modules were read. */
  readonly modules: number;
  /** How many imports lead from one package to another: none means that the check is blind. */
  readonly crossings: number;
  /** The folders of packages of which no module was read. */
  readonly unread: readonly string[];
}

const owner = (path: string) => path.split('/').slice(0, 2).join('/');

/** Reads all modules of the workspace in this folder and applies the rules of the given .dependency-cruiser.cjs. */
export async function checkLayers(root: string, rules = join(root, '.dependency-cruiser.cjs')): Promise<LayerReport> {
  const config = createRequire(import.meta.url)(rules);
  const packages = workspacePackages(root);
  const { tsConfig, enhancedResolveOptions, ...options } = config.options;
  const { output } = await cruise(
    ['packages', 'apps'].filter((group) => packages.some(({ path }) => path.startsWith(`${group}/`))),
    { ...options, baseDir: root, ruleSet: { forbidden: config.forbidden }, validate: true },
    enhancedResolveOptions,
    { tsConfig: extractTSConfig(join(root, tsConfig.fileName)) },
  );
  const { modules, summary } = output as ICruiseResult;
  const own = modules.filter(({ source }) => packages.some(({ path }) => source.startsWith(`${path}/`)));
  const crossings = own.flatMap(({ source, dependencies }) =>
    dependencies.filter(({ resolved }) => /^(packages|apps)\//.test(resolved) && owner(resolved) !== owner(source)),
  );
  return {
    violations: summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`).sort(),
    modules: own.length,
    crossings: crossings.length,
    unread: packages.map(({ path }) => path).filter((path) => !own.some(({ source }) => owner(source) === path)),
  };
}

/** The command: prints what is wrong and returns the exit code. */
export async function main(): Promise<number> {
  const { violations, modules, crossings, unread } = await checkLayers(process.cwd());
  for (const violation of violations) console.error(violation);
  for (const path of unread) console.error(`no module of ${path} was read`);
  if (crossings === 0) console.error('no import from one package to another was seen: the check is blind');
  console.log(`${modules} modules, ${crossings} imports between packages, ${violations.length} violations`);
  return violations.length + unread.length === 0 && crossings > 0 ? 0 : 1;
}
