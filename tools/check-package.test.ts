import { describe, expect, it } from 'vitest';
import { tarballProblems } from './check-package.js';

const manifest = {
  name: '@iommukit/example',
  sideEffects: false,
  exports: { '.': { import: { types: './dist/index.d.ts', default: './dist/index.js' } } },
};
const files = ['package.json', 'README.md', 'LICENSE', 'dist/index.js', 'dist/index.d.ts'];
const problems = (changes: object, list = files) => tarballProblems(JSON.stringify({ ...manifest, ...changes }), list);

describe('the package check', () => {
  it('is content with a tarball that holds what its manifest names', () => {
    expect(problems({})).toEqual([]);
  });

  it('misses the license, and files that the manifest names', () => {
    const list = files.filter((file) => file !== 'LICENSE' && file !== 'dist/index.js');
    expect(problems({}, list)).toEqual([
      'LICENSE is missing from the tarball',
      'dist/index.js is missing from the tarball',
    ]);
  });

  it('refuses a manifest that points at sources or at the workspace', () => {
    expect(problems({ exports: { '.': { '@iommukit/source': './dist/index.js' } } })).toEqual([
      'the packed package.json points at sources',
    ]);
    expect(problems({ dependencies: { '@iommukit/kernel': 'workspace:^' } })).toEqual([
      'the packed package.json names a workspace version',
    ]);
  });

  it('refuses tests and side effects', () => {
    expect(problems({ sideEffects: true }, [...files, 'dist/a.test.js'])).toEqual([
      '"sideEffects": false is missing',
      'dist/a.test.js does not belong in the tarball',
    ]);
  });
});
