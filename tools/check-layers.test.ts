import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { checkLayers } from './check-layers.js';
import { workspacePackages } from './workspace.js';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const rules = here('../.dependency-cruiser.cjs');

/** A copy of the fixture, its packages linked to each other as an installation links them. */
function linkedFixture(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'iommukit-layers-')));
  cpSync(here('fixtures/layers'), folder, { recursive: true });
  mkdirSync(join(folder, 'node_modules/@iommukit'), { recursive: true });
  for (const { name, folder: target } of workspacePackages(folder))
    symlinkSync(target, join(folder, 'node_modules', name));
  return folder;
}

describe('the layer rules', () => {
  const folder = linkedFixture();
  afterAll(() => rmSync(folder, { recursive: true }));

  it('report every violation in the fixture, across packages, and nothing else', async () => {
    const { violations, modules, crossings, unread } = await checkLayers(folder, rules);
    const index = (name: string) => `packages/${name}/src/index.ts`;
    expect([...new Set(violations)]).toEqual(
      [
        `layers-bitfield: ${index('bitfield')} → ${index('kernel')}`,
        `leaf-smmuv3-spec: ${index('smmuv3-spec')} → ${index('kernel')}`,
        `layers-smmuv3-spec: ${index('smmuv3-spec')} → ${index('kernel')}`,
        `layers-smmuv3-driver: ${index('smmuv3-driver')} → ${index('smmuv3-hardware')}`,
        `smmuv3-meet-in-memory: ${index('smmuv3-driver')} → ${index('smmuv3-hardware')}`,
        `smmuv3-stranger: ${index('core')} → ${index('smmuv3-spec')}`,
        `blind-smmuv3-hardware: ${index('smmuv3-hardware')} → ${index('core')}`,
        `no-node: ${index('kernel')} → fs`,
        `known-package: ${index('lonely')} → ${index('bitfield')}`,
        `resolvable: ${index('core')} → @iommukit/no-such-package`,
        'no-cycle: packages/kernel/src/ring-odd.ts → packages/kernel/src/ring.ts',
        `no-cycle: ${index('bitfield')} → ${index('kernel')}`,
      ].sort(),
    );
    expect(modules).toBe(10);
    expect(crossings).toBe(10);
    expect(unread).toEqual([]);
  });
});
