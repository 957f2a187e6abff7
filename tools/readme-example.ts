/// <reference types="node" />
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { format } from 'node:util';
import { describe, expect, it } from 'vitest';

/** What a README's example is and what it claims to print. */
export interface ReadmeExample {
  /** The text of the first ```ts block. */
  readonly code: string;
  /** The texts of the `// → text` comments in the block, in order; one comment is one printed line. */
  readonly printed: readonly string[];
}

/** Takes the first ```ts block out of a README. Throws an Error when there is none. */
export function readmeExample(markdown: string): ReadmeExample {
  const block = /^```ts[^\S\n]*\n([\s\S]*?)^```[^\S\n]*$/m.exec(markdown.replaceAll('\r\n', '\n'));
  const code = block?.[1];
  if (code === undefined || code.trim() === '') throw new Error('the README has no example: it needs a ```ts block');
  const printed = [...code.matchAll(/\/\/ → ?(.*)$/gm)].map((match) => (match[1] ?? '').trimEnd());
  return { code, printed };
}

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
