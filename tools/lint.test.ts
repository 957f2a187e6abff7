import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

describe('the lint rules for packages', () => {
  const folder = mkdtempSync(join(tmpdir(), 'iommukit-lint-'));
  cpSync(here('fixtures/lint'), folder, { recursive: true });
  cpSync(here('../.oxlintrc.json'), join(folder, '.oxlintrc.json'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const lint = (file: string) => {
    const { stdout, status } = spawnSync(here('../node_modules/.bin/oxlint'), ['-f', 'unix', file], { cwd: folder });
    const lines = [...stdout.toString().matchAll(/^\S+?:(\d+):\d+: .*no-restricted-/gm)].map((match) =>
      Number(match[1]),
    );
    return { status, lines: lines.sort((a, b) => a - b) };
  };

  it('reports every use of ambient time, randomness, timers and the Node process', () => {
    const file = 'packages/clock/src/ambient.ts';
    const source = readFileSync(join(folder, file), 'utf8').split('\n');
    const offending = source.flatMap((line, index) => (line.startsWith('  ') ? [index + 1] : []));
    expect(offending.length).toBeGreaterThan(10);
    expect(lint(file)).toEqual({ status: 1, lines: offending });
  });

  it('lets tests ask the real clock', () => {
    expect(lint('packages/clock/src/ambient.test.ts').lines).toEqual([]);
  });
});
