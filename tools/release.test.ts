import { describe, expect, it } from 'vitest';
import { caretAdmits, demandedMoves, listMoves, movedVersions } from './release/driver-bump.js';
import { workspacePackages } from './workspace.js';

const packageNamed = (name: string, dependencies: object = {}, devDependencies: object = {}) => ({
  name,
  folder: '',
  path: '',
  manifest: { name, dependencies, devDependencies },
});

describe('the versions of a release', () => {
  it('moved where they differ', () => {
    const before = new Map([
      ['b', '0.1.0'],
      ['a', '0.1.0'],
      ['c', '1.0.0'],
    ]);
    const moves = movedVersions(before, new Map([...before, ['b', '0.1.1'], ['a', '0.2.0']]));
    expect(listMoves(moves)).toBe('a 0.1.0 → 0.2.0, b 0.1.0 → 0.1.1');
  });

  it.each([
    ['0.1.0', '0.1.1', true],
    ['0.1.0', '0.2.0', false],
    ['0.0.3', '0.0.4', false],
    ['1.0.0', '1.1.0', true],
    ['1.2.3', '2.0.0', false],
  ])('are admitted as ^ says: %s → %s is %s', (from, to, admitted) => {
    expect(caretAdmits(from, to)).toBe(admitted);
  });

  it('move dependents only where the range no longer holds, and never those that only develop with it', () => {
    const packages = [
      packageNamed('driver'),
      packageNamed('app', { driver: 'workspace:^' }),
      packageNamed('kit', {}, { driver: 'workspace:^' }),
    ];
    expect(demandedMoves(packages, { name: 'driver', from: '0.1.0', to: '0.1.1' })).toEqual(['driver']);
    expect(demandedMoves(packages, { name: 'driver', from: '0.1.0', to: '0.2.0' })).toEqual(['app', 'driver']);
  });

  it('of one driver are nobody else’s concern but the command’s', () => {
    const packages = workspacePackages(process.cwd().replace(/\/tools$/, ''));
    const move = { name: '@iommukit/vtd-driver', from: '0.1.0', to: '0.2.0' };
    expect(demandedMoves(packages, move)).toEqual(['@iommukit/vtd-driver', 'iommukit']);
  });
});
