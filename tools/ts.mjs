import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

// Runs the exported main() of a tool that is written in TypeScript: `node tools/ts.mjs check-layers`.
const tools = fileURLToPath(new URL('.', import.meta.url));
const name = process.argv[2] ?? '';
const bundle = join(tools, `../node_modules/.cache/iommukit-tools/${name}-${process.pid}.mjs`);
await build({
  entryPoints: [join(tools, `${name}.ts`)],
  outfile: bundle,
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20',
});
try {
  const { main } = await import(pathToFileURL(bundle).href);
  process.exitCode = await main(process.argv.slice(3));
} finally {
  rmSync(bundle);
}
