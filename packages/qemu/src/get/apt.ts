import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { QemuError } from '../errors.js';

/** The release that has the version that is wanted, and the packages. */
const RELEASE = 'trixie';
const PACKAGES = ['qemu-system-x86', 'qemu-system-arm', 'qemu-system-riscv'];
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Runs a program to its end. @throws QemuError UNUSABLE with what it wrote to its standard error */
export function runTool(command: string, args: readonly string[]): string {
  const { stdout, stderr, status, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (error === undefined && status === 0) return stdout;
  const why =
    error === undefined ? `ends with exit code ${status}: ${stderr.trim()}` : `does not run (${error.message})`;
  throw new QemuError('UNUSABLE', `${command} ${args.at(-1) ?? ''} ${why}`);
}

/**
 * Downloads QEMU and all it needs, as packages, into `folder`. Lists, state and sources are in that folder; the machine's own
 * are not touched, while its proxies and logins are used. No root is needed.
 * @returns the folder with the packages
 */
export function downloadPackages(folder: string, mirror: string): string {
  for (const part of ['lists/partial', 'archives/partial', 'log']) mkdirSync(join(folder, part), { recursive: true });
  writeFileSync(join(folder, 'status'), '');
  const source = (suite: string) => `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`;
  writeFileSync(join(folder, 'sources.list'), source(RELEASE) + source(`${RELEASE}-backports`));
  const settings = {
    'Dir::State': folder,
    'Dir::State::lists': join(folder, 'lists'),
    'Dir::State::status': join(folder, 'status'),
    'Dir::Cache': folder,
    'Dir::Cache::archives': join(folder, 'archives'),
    'Dir::Log': join(folder, 'log'),
    'Dir::Etc::sourcelist': join(folder, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    'APT::Sandbox::User': 'root',
    'Debug::NoLocking': '1',
  };
  const options = ['-qq', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
  runTool('apt-get', [...options, 'update']);
  const install = ['-y', '--no-install-recommends', '--download-only', '-t', `${RELEASE}-backports`, 'install'];
  runTool('apt-get', [...options, ...install, ...PACKAGES]);
  return join(folder, 'archives');
}
