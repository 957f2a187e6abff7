import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { type Candidate, type Conformance, cellOf, conformance, FEATURES, type Feature } from '../src/index.js';

const README = new URL('../README.md', import.meta.url);

/** The cells of a column of the README's table, by the row's title. */
function columnOf(backend: string): Record<string, string> {
  const rows = readFileSync(README, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => line.split('|').map((cell) => cell.trim()));
  const head = rows.find((cells) => cells.includes(backend));
  if (head === undefined) throw new Error(`README.md has no column '${backend}'`);
  const at = head.indexOf(backend);
  return Object.fromEntries(rows.filter((cells) => cells.length === head.length).map((cells) => [cells[1], cells[at]]));
}

/** Runs the kit on a backend, and then compares the README's column with what came of it. */
export function column(create: () => Candidate, schedules?: number): Conformance {
  const kit = conformance({ test: it, create, ...(schedules === undefined ? {} : { schedules }) });
  const { name } = create().manifest;
  it(`has the column '${name}' that README.md shows`, () => {
    const report = kit.report();
    const shown = columnOf(name);
    for (const feature of Object.keys(FEATURES) as Feature[])
      expect(shown[FEATURES[feature]], FEATURES[feature]).toBe(cellOf(report, feature));
  });
  return kit;
}
