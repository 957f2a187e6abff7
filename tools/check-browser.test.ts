import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { browserProblems } from './check-browser.js';

const problems = (name: string) => browserProblems(fileURLToPath(new URL(`fixtures/browser/${name}`, import.meta.url)));

describe('the browser check', () => {
  it('reports an import of a Node module, with its place', async () => {
    expect(await problems('node')).toEqual([
      expect.stringMatching(/node\/src\/index\.ts:1: Could not resolve "node:fs"/),
    ]);
  });

  it('reports what needs a global of Node as soon as it is loaded', async () => {
    expect(await problems('global')).toEqual([expect.stringContaining('process is not defined')]);
  });

  it('is content with a package that a browser can load', async () => {
    expect(await problems('good')).toEqual([]);
  });
});
