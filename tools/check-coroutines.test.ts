import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { checkCoroutines } from './check-coroutines.js';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

describe('the check for coroutines that nobody runs', () => {
  const { findings } = checkCoroutines(here('fixtures/coroutines/tsconfig.json'));
  const lines = (file: string) => [...new Set(findings.filter((found) => found.file === file).map(({ line }) => line))];

  it('reports a Step or Coroutine that is dropped, kept, or passed to what does not run it', () => {
    const source = readFileSync(here('fixtures/coroutines/bad.ts'), 'utf8').split('\n');
    const expected = source.flatMap((line, index) => (line.endsWith('// reported') ? [index + 1] : []));
    expect(expected.length).toBeGreaterThan(15);
    expect(lines('bad.ts')).toEqual(expected);
  });

  it('says where and what', () => {
    expect(findings.find(({ file, line }) => file === 'bad.ts' && line === 11)).toEqual({
      file: 'bad.ts',
      line: 11,
      column: 5,
      message: 'a Step is dropped: it must be the operand of yield*',
    });
  });

  it('lets pass what is the operand of yield*, returned, or passed to what runs it', () => {
    expect(findings.filter(({ file }) => file === 'good.ts')).toEqual([]);
  });
});
