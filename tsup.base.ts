import { defineConfig, type Options } from 'tsup';

/** Every package builds the same way: ESM + CJS + types from src/index.ts. */
export const library = (options: Options = {}) =>
  defineConfig({
    entry: ['src/index.ts'],
    format: ['esm', 'cjs'],
    target: 'node20',
    platform: 'neutral',
    sourcemap: false,
    clean: true,
    silent: true,
    dts: { compilerOptions: { ignoreDeprecations: '6.0', customConditions: [] } },
    ...options,
  });
