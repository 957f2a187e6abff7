/// <reference types="node" />
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { format } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type ReadmeExample, readmeExample } from './readme.js';

/**
 * Runs a README's example as a module and returns the lines that it printed with console.log.
 * The module is written to `reports/` of the README's package, so that it resolves what the package resolves.
 */
export async function runExample(readme: URL, example: ReadmeExample): Promise<string[]> {
  const packageFolder = dirname(fileURLToPath(readme));
  const file = join(packageFolder, 'reports', `${basename(fileURLToPath(readme), '.md').toLowerCase()}-example.ts`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, example.code);
  const lines: string[] = [];
  const log = console.log;
  console.log = (...values: unknown[]) => {
    lines.push(
      ...format(...values)
        .split('\n')
        .map((line) => line.trimEnd()),
    );
  };
  try {
    await import(/* @vite-ignore */ pathToFileURL(file).href);
  } finally {
    console.log = log;
  }
  return lines;
}

/** Declares the test that the example of this README runs and prints exactly what its `// → text` comments say. */
export function runReadme(readme: URL): void {
  describe('README.md', () => {
    it('has an example that runs and prints what its comments say', async () => {
      const example = readmeExample(readFileSync(readme, 'utf8'));
      expect(await runExample(readme, example)).toEqual(example.printed);
    });
  });
}
