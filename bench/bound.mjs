import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Compiles bound.c with the machine's C compiler and runs it: median ns by case, or null when there is no compiler. */
export function cBound() {
  const compiler = ['cc', 'gcc', 'clang'].find((name) => spawnSync(name, ['--version']).status === 0);
  if (compiler === undefined) return null;
  const folder = mkdtempSync(join(tmpdir(), 'iommukit-bound-'));
  try {
    const program = join(folder, 'bound');
    execFileSync(compiler, ['-O2', '-o', program, fileURLToPath(new URL('bound.c', import.meta.url))]);
    const lines = execFileSync(program, { encoding: 'utf8' }).trim().split('\n');
    return new Map(lines.map((line) => [line.split(' ')[0], Number(line.split(' ')[1])]));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
