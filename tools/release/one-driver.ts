import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Consumer, Tarballs } from './consumer.js';

/** The packages of one IOMMU architecture are called `<family>-…`. */
export const FAMILIES = ['smmuv3', 'vtd'] as const;

/** One of {@link FAMILIES}. */
export type Family = (typeof FAMILIES)[number];

/** What is shared by whoever uses one driver. */
const SHARED = ['@iommukit/kernel', '@iommukit/core', '@iommukit/iopf-queue', '@iommukit/pci-ats'];

/** The packages that one driver brings along, and must: what it imports, and no hardware. */
export const expectedWith = (family: Family): string[] =>
  [
    ...SHARED,
    '@iommukit/bitfield',
    '@iommukit/paging',
    `@iommukit/${family}-driver`,
    `@iommukit/${family}-spec`,
  ].sort();

/**
 * A stranger who wants one driver and what all drivers share. Returns what is wrong: packages that came along unasked, or
 * what the program says, which uses all of them.
 */
export function useOneDriver(consumer: Consumer, family: Family, tarballs: Tarballs): string[] {
  consumer.install([...SHARED, `@iommukit/${family}-driver`], tarballs);
  const installed = [...consumer.installed().keys()].sort();
  if (installed.join() !== expectedWith(family).join()) {
    return [`@iommukit/${family}-driver brings along ${installed.join(', ')}`];
  }
  const program = readFileSync(join(consumer.shell.root, 'tools/fixtures/release/one-driver.ts'), 'utf8');
  for (const kind of ['mts', 'cts']) consumer.write(`src/consumer.${kind}`, program.replaceAll('FAMILY', family));
  consumer.compile();
  const printed = ['mjs', 'cjs'].map((kind) => consumer.run('node', [`out/consumer.${kind}`]).trim());
  return printed.every((line) => line === `${family}: answered, refused, finished`)
    ? []
    : [`the consumer of @iommukit/${family}-driver prints ${printed.join(' and ')}`];
}
