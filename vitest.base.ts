import { defineConfig } from 'vitest/config';

/** Tests run on the sources of every workspace package, so that no build is needed to run one suite. */
export default defineConfig({
  resolve: { conditions: ['@iommukit/source'] },
  ssr: { resolve: { conditions: ['@iommukit/source'] } },
  test: {
    include: ['src/**/*.test.ts', 'src/**/*.prop.test.ts', 'test/**/*.test.ts'],
    testTimeout: 60_000,
    reporters: ['default', 'json'],
    outputFile: { json: 'reports/tests.json' },
  },
});
