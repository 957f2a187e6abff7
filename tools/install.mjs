import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root folder of the workspace. */
export const root = fileURLToPath(new URL('..', import.meta.url));

const stamp = join(root, 'node_modules/.modules.yaml');
const lockfile = join(root, 'pnpm-lock.yaml');

/** Which QEMU suites would find, in words that differ when it does: what they do depends on it. */
function qemuSeen() {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'iommukit');
  const unpacked = existsSync(cache) ? readdirSync(cache).filter((name) => name.startsWith('qemu-')) : [];
  const folders = (process.env.PATH ?? '').split(delimiter);
  const onPath = folders.filter((folder) => existsSync(join(folder, 'qemu-system-x86_64')));
  return [...unpacked.sort(), ...onPath].join(' ');
}

/** The environment for every command that is run here: the workspace's own tools first, no telemetry. */
export function toolEnvironment() {
  const path = [join(root, 'node_modules/.bin'), process.env.PATH].filter(Boolean).join(delimiter);
  const quiet = { TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' };
  return { ...process.env, ...quiet, PATH: path, IOMMUKIT_QEMU_SEEN: qemuSeen() };
}

/** Whether what is installed was installed from the lockfile as it is now. */
export function isInstalled() {
  return existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(lockfile).mtimeMs;
}

/** Installs the workspace when it is not, with the pnpm version that package.json names. Exits on failure. */
export function install() {
  if (isInstalled()) return;
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  console.log(`installing with ${packageManager} …`);
  const command = ['--yes', packageManager, 'install', '--frozen-lockfile', '--prefer-offline'];
  const { status, error } = spawnSync('npx', command, {
    cwd: root,
    env: toolEnvironment(),
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32',
  });
  if (error) console.error(error.message);
  if (status !== 0) {
    console.error('the installation failed: is the package registry reachable?');
    process.exit(1);
  }
  // pnpm leaves the stamp alone when there was nothing to do.
  const now = new Date();
  utimesSync(stamp, now, now);
}
