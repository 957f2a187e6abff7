import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { workspacePackages } from '../workspace.js';
import type { PackageParts } from './step-report.js';

/** The parts that the sources of every package export, by the package's short name. */
export async function loadParts(root: string): Promise<PackageParts> {
  const packages = workspacePackages(root)
    .filter(({ path }) => path.startsWith('packages/'))
    .map(({ path, folder, manifest }) => ({
      name: path.split('/')[1]!,
      source: join(folder, manifest.exports['.']['@iommukit/source']),
    }));
  const folder = mkdtempSync(join(tmpdir(), 'iommukit-parts-'));
  const bundle = join(folder, 'parts.cjs');
  await build({
    stdin: {
      contents: packages.map(({ source }, n) => `export * as p${n} from ${JSON.stringify(source)};`).join('\n'),
      resolveDir: root,
    },
    conditions: ['@iommukit/source'],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    logLevel: 'error',
  });
  try {
    const { default: loaded } = await import(pathToFileURL(bundle).href);
    return Object.fromEntries(packages.map(({ name }, n) => [name, partsIn(loaded[`p${n}`])]));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The classes in exports that are called `…Parts`, and in the parts of modules, each by its own name as well. */
function partsIn(exports: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const records = Object.entries(exports).flatMap(([name, value]) => {
    if (/^[a-z]\w*Parts$/.test(name)) return [value];
    const { parts } = (typeof value === 'object' && value !== null ? value : {}) as { parts?: unknown };
    return parts === undefined ? [] : [parts];
  });
  const parts = Object.assign({}, ...records.filter((record) => typeof record === 'object'));
  const named = records
    .flatMap((record) => Object.values(record as object))
    .filter((part) => typeof part === 'function');
  return { ...Object.fromEntries(named.map((part) => [part.name.replace(/^_/, ''), part])), ...parts };
}
