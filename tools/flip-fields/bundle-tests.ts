import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { compileFunction } from 'node:vm';
import { build } from 'esbuild';

/** A package's literal tests and sources in one piece, evaluated anew by every call; `resolve` gives what is imported. */
export type TestBundle = (resolve: (name: string) => unknown) => void;

/** The literal tests of a package: those beside its sources. Properties follow the declarations wherever they go. */
export function literalTests(folder: string): string[] {
  const sources = join(folder, 'src');
  if (!existsSync(sources)) return [];
  return readdirSync(sources)
    .filter((name) => name.endsWith('.test.ts') && !name.endsWith('.prop.test.ts'))
    .sort()
    .map((name) => join(sources, name));
}

/** Bundles test files, all but vitest and bitfield. */
export async function bundleTests(files: readonly string[], folder: string): Promise<TestBundle> {
  const { outputFiles } = await build({
    stdin: { contents: files.map((file) => `import ${JSON.stringify(file)};`).join('\n'), resolveDir: folder },
    conditions: ['@iommukit/source'],
    external: ['vitest', '@iommukit/bitfield'],
    ignoreAnnotations: true, // "sideEffects: false" of a package would drop its tests
    write: false,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    logLevel: 'error',
  });
  return compileFunction(outputFiles[0]!.text, ['require', 'module']) as TestBundle;
}
