import type { WorkspacePackage } from '../workspace.js';
import type { Consumer, Tarballs } from './consumer.js';
import { type Family, useOneDriver } from './one-driver.js';
import type { Bump, ReleaseCopy, Versions } from './release-copy.js';

/** A package whose version a release changes. */
export interface Move {
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

/** The packages whose version changed, in alphabetical order. */
export function movedVersions(before: Versions, after: Versions): Move[] {
  return [...after]
    .map(([name, to]) => ({ name, from: before.get(name) ?? 'nothing', to }))
    .filter(({ from, to }) => from !== to)
    .sort((a, b) => a.name.localeCompare(b.name));
}

/** True if `^from`, which is what dependents ask for, admits the version (both plain `x.y.z`, `to` the later one). */
export function caretAdmits(from: string, to: string): boolean {
  const [a, b] = [from, to].map((version) => version.split('.').map(Number)) as [number[], number[]];
  const leading = a.findIndex((number) => number > 0);
  return a.slice(0, leading + 1).every((number, i) => number === b[i]);
}

/**
 * The packages that have to move with one whose version moves: none if its dependents' ranges admit the new version, else
 * these, a patch each, and so on. What is only developed with it stays where it is.
 */
export function demandedMoves(packages: readonly WorkspacePackage[], { name, from, to }: Move): string[] {
  if (caretAdmits(from, to)) return [name];
  const dependents = packages.filter(
    ({ manifest }) => name in { ...manifest.dependencies, ...manifest.peerDependencies },
  );
  // A patch of a dependent is admitted by whoever depends on that.
  return [name, ...dependents.map((dependent) => dependent.name)].sort((a, b) => a.localeCompare(b));
}

/** What a release after the first one moves, when one driver alone changed. */
export class DriverBump {
  readonly copy: ReleaseCopy;
  readonly family: Family;
  readonly name: string;

  /** `copy` is at its first release, and committed. */
  constructor(copy: ReleaseCopy, family: Family) {
    this.copy = copy;
    this.family = family;
    this.name = `@iommukit/${family}-driver`;
  }

  /** The versions that a change of the driver alone moves. @throws an Error when these are not those that semver demands */
  move(bump: Bump): Move[] {
    const before = this.copy.versions();
    this.copy.change(this.name, bump);
    const problems = this.copy.version();
    const moves = movedVersions(before, this.copy.versions());
    const own = moves.find(({ name }) => name === this.name);
    if (own === undefined) throw new Error(`a ${bump} of ${this.name} does not move it`);
    const demanded = demandedMoves(this.copy.packages(), own);
    if (moves.map(({ name }) => name).join() !== demanded.join()) {
      problems.push(`a ${bump} of ${this.name} moves ${listMoves(moves)}; semver demands ${demanded.join(', ')} alone`);
    }
    if (problems.length > 0) throw new Error(problems.join('\n'));
    return moves;
  }

  /** The tarballs of the first release, but for what moved. */
  packMoved(moves: readonly Move[], first: Tarballs): Map<string, string> {
    const moved = this.copy.packages().filter(({ name }) => moves.some((move) => move.name === name));
    return new Map([...first, ...moved.map((item) => [item.name, this.copy.pack(item)] as const)]);
  }

  /** The new driver beside everything else as it was: what is wrong with it. */
  rehearse(bump: Bump, first: Tarballs, consumer: Consumer): { readonly moves: readonly Move[]; problems: string[] } {
    try {
      const moves = this.move(bump);
      const problems = useOneDriver(consumer, this.family, this.packMoved(moves, first));
      const installed = consumer.installed().get(this.name);
      const wanted = moves.find(({ name }) => name === this.name)!.to;
      if (installed !== wanted) problems.push(`${this.name} ${installed} is installed, not ${wanted}`);
      return { moves, problems };
    } finally {
      this.copy.forget();
    }
  }
}

/** For people: `vtd-driver 0.1.0 → 0.1.1`. */
export function listMoves(moves: readonly Move[]): string {
  return moves.map(({ name, from, to }) => `${name} ${from} → ${to}`).join(', ');
}
