import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { iommukit, lines } from './support.js';

/** A timeline without its steps, which any change of a driver shifts. */
function told(lines: readonly string[]): string[] {
  return lines.filter((line) => /^ *\d+ {2}[·●]/.test(line)).map((line) => line.replace(/^ *\d+ +/, ''));
}

it('shows in the README of the whole project the run that killed-job is', async () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  const { stdout } = await iommukit('run', 'killed-job');
  expect(told(lines(readme))).toEqual(told(lines(stdout)));
});

it('names every built-in scenario in the README of the whole project', async () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  const { stdout } = await iommukit('run', '--list');
  const names = [...stdout.matchAll(/^([a-z-]+) /gm)].map(([, name]) => name as string);
  expect(names.length).toBeGreaterThan(20);
  expect(names.filter((name) => !new RegExp(`^\\|.*\`${name}\`.*\\|`, 'm').test(readme))).toEqual([]);
});
