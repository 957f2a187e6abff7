import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Consumer, type Tarballs } from './release/consumer.js';
import { DriverBump, listMoves } from './release/driver-bump.js';
import { FAMILIES, useOneDriver } from './release/one-driver.js';
import { ReleaseCopy } from './release/release-copy.js';
import { Report } from './release/report.js';
import { Shell } from './release/shell.js';
import { WholeConsumer } from './release/whole-consumer.js';

/** A release from version numbers to a stranger's first `npm install`, and the next release of one driver. */
function rehearse(root: string, folder: string, report: Report): void {
  const shell = new Shell(root);
  const copy = new ReleaseCopy(shell, join(folder, 'workspace'), join(folder, 'tarballs'));
  report.done('copied the work tree');
  const tarballs = firstRelease(copy, report);
  new WholeConsumer(copy.packages(), new Consumer(shell, join(folder, 'consumer')), report).rehearse(tarballs);
  for (const family of FAMILIES) {
    const found = useOneDriver(new Consumer(shell, join(folder, `${family}-consumer`)), family, tarballs);
    for (const problem of found) report.problem(problem);
    report.done(`core, iopf-queue, pci-ats and ${family}-driver work by themselves, ESM and CJS`);
  }
  for (const bump of ['patch', 'minor'] as const) {
    const consumer = new Consumer(shell, join(folder, `vtd-${bump}-consumer`));
    const { moves, problems } = new DriverBump(copy, 'vtd').rehearse(bump, tarballs, consumer);
    for (const problem of problems) report.problem(problem);
    report.done(`a ${bump} of vtd-driver moves ${listMoves(moves)}, and works with the rest as it was`);
  }
}

/** Versions, installs, builds and packs everything. */
function firstRelease(copy: ReleaseCopy, report: Report): Tarballs {
  for (const problem of copy.version()) report.problem(problem);
  copy.commit('the first release');
  const packages = copy.packages();
  report.done(`${packages.length} packages have a version and a changelog`);
  copy.run('pnpm', ['install', '--frozen-lockfile', '--prefer-offline']);
  report.done('installed the workspace');
  copy.build();
  report.done('built');
  const tarballs = new Map(packages.map((item) => [item.name, copy.pack(item)]));
  report.done(`${tarballs.size} tarballs packed`);
  return tarballs;
}

/** The command: rehearses the release of this workspace and returns the exit code. `--keep` keeps the folder. */
export function main(options: readonly string[]): number {
  const report = new Report();
  const folder = mkdtempSync(join(tmpdir(), 'iommukit-release-'));
  console.log('rehearsing a release');
  try {
    rehearse(resolve('.'), folder, report);
  } catch (error) {
    report.problem((error as Error).message);
  } finally {
    if (options.includes('--keep')) console.log(`kept ${folder}`);
    else rmSync(folder, { recursive: true });
  }
  for (const problem of report.problems) console.error(`  ✗ ${problem}`);
  console.log(report.problems.length === 0 ? 'the release is ready' : 'the release is not ready');
  return report.problems.length === 0 ? 0 : 1;
}
