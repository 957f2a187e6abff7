import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What every tarball holds besides what its manifest points at. */
const required = ['package.json', 'README.md', 'LICENSE'];

/** What is wrong with the text of a packed manifest and the list of packed files, one line each. */
export function tarballProblems(manifest: string, files: readonly string[]): string[] {
  const { exports, bin = {}, sideEffects, name } = JSON.parse(manifest);
  const targets = (value: unknown): string[] =>
    typeof value === 'string' ? [value] : Object.values(value as object).flatMap(targets);
  const missing = [...required, ...targets(exports), ...targets(bin)]
    .map((file) => file.replace(/^\.\//, ''))
    .filter((file) => !files.includes(file));
  const problems = [...new Set(missing)].map((file) => `${file} is missing from the tarball`);
  if (manifest.includes('@iommukit/source')) problems.push('the packed package.json points at sources');
  if (manifest.includes('workspace:')) problems.push('the packed package.json names a workspace version');
  if (sideEffects !== false && name !== 'iommukit') problems.push('"sideEffects": false is missing');
  const stray = files.filter((file) => /\.test\.|^src\/|^reports\//.test(file));
  return [...problems, ...stray.map((file) => `${file} does not belong in the tarball`)];
}

/** Packs the package in this folder, and has the tarball judged by publint, attw and the rules above. */
export async function main(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'iommukit-package-'));
  try {
    const packed = execFileSync('pnpm', ['pack', '--json', '--pack-destination', folder]).toString();
    const tarball: string = JSON.parse(packed).filename;
    const files = execFileSync('tar', ['tzf', tarball]).toString().trim().split('\n');
    execFileSync('tar', ['xzf', tarball, '-C', folder]);
    const manifest = readFileSync(join(folder, 'package/package.json'), 'utf8');
    const problems = tarballProblems(
      manifest,
      files.map((file) => file.replace(/^package\//, '')),
    );
    for (const problem of problems) console.error(problem);
    const judges = [
      ['publint', '--strict', tarball],
      ['attw', '--format', 'ascii', tarball],
    ].map(([command, ...options]) => {
      const { status, stdout, stderr } = spawnSync(command!, options);
      if (status !== 0) console.error(`${command}:\n${stdout}${stderr}`);
      return status;
    });
    return problems.length === 0 && judges.every((status) => status === 0) ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
