import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FEATURES, type Feature } from '../src/index.js';
import { compile } from './empty-bodies.js';
import { candidateOf, makeSkeleton, rowsThatFail } from './skeleton.js';

const CHECKLIST = readFileSync(new URL('../ADDING-A-BACKEND.md', import.meta.url), 'utf8');
const ROWS = Object.keys(FEATURES) as Feature[];

/** A file of the checklist, and the rows that fail while it is empty. */
interface Named {
  readonly file: string;
  readonly rows: readonly Feature[];
}

/** The words in backquotes that are rows of the table. */
function rowsIn(text: string): Feature[] {
  return [...text.matchAll(/`(\w+)`/g)].map(([, word]) => word as Feature).filter((word) => ROWS.includes(word));
}

/** The lines of the checklist's table of files. */
const NAMED: readonly Named[] = CHECKLIST.split('\n')
  .map((line) => /^\| \[`([\w-]+\.ts)`\]\(reference\/\1\)\s*\|[^|]*\|([^|]*)\|$/.exec(line))
  .filter((match) => match !== null)
  .map(([, file, rows]) => ({ file: file!, rows: rowsIn(rows!) }));

/** What a skeleton does not fail. */
const UNTOUCHED = rowsIn(/fails it in every row but ([^.]*)\./.exec(CHECKLIST)![1]!);

describe('ADDING-A-BACKEND.md', () => {
  it('names every file of the reference', () => {
    const files = readdirSync(new URL('../reference/', import.meta.url));
    const linked = files.filter((file) => CHECKLIST.includes(`[\`${file}\`](reference/${file})`));
    expect(linked).toEqual(files);
    expect(NAMED.length).toBe(12);
    for (const { file, rows } of NAMED) {
      expect(existsSync(new URL(`../reference/${file}`, import.meta.url)), file).toBe(true);
      expect(rows.length, file).toBeGreaterThan(1);
    }
  });

  it('makes a skeleton that compiles, runs, and fails every row but those that it excepts', async () => {
    const skeleton = makeSkeleton(
      'whole',
      NAMED.map(({ file }) => file),
    );
    const tsconfig = fileURLToPath(new URL('../../../tsconfig.base.json', import.meta.url));
    expect(compile(skeleton.files, tsconfig)).toEqual([]);
    const failed = rowsThatFail(await candidateOf(skeleton), ROWS);
    expect(ROWS.filter((row) => !failed.includes(row))).toEqual(UNTOUCHED);
  });

  it.each(NAMED)('says what fails while $file is empty', async ({ file, rows }) => {
    const create = await candidateOf(makeSkeleton(file.replace('.ts', ''), [file]));
    expect(rowsThatFail(create, rows)).toEqual(rows);
  });

  it('makes a copy that passes these rows where nothing is empty', async () => {
    const rows: readonly Feature[] = ['lifeCycle', 'featureOrder', 'isolation', 'translation', 'severalDevices'];
    expect(rowsThatFail(await candidateOf(makeSkeleton('full', [])), rows)).toEqual([]);
  });
});
