import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kill, pid } from 'node:process';
import { QemuError } from '../errors.js';
import type { QemuArch } from '../machines/kinds.js';
import { cacheFolder } from '../process/find.js';
import { versionOf } from '../process/version.js';
import { downloadPackages, runTool } from './apt.js';
import { mirrorOfThisMachine } from './mirror.js';
import { ARCHITECTURES, type DebianArchitecture, wrapperScript } from './wrapper.js';

const ARCHES: readonly QemuArch[] = ['x86_64', 'aarch64', 'riscv64'];
/** What of the packages nobody needs to run a machine without screen and sound. */
const SUPERFLUOUS = ['usr/share/doc', 'usr/share/man', 'usr/share/locale', 'usr/share/icons', 'usr/share/lintian'];
const UNFINISHED = /^getting-(\d+)$/;

/** What {@link getQemu} needs to know. */
export interface GetOptions {
  /** Told what happens, one line each. */
  readonly say?: (line: string) => void;
  /** The folder that gets `qemu-<version>`; default: the cache. */
  readonly cache?: string;
  /** The Debian archive to get it from; default: the one that this machine's apt uses. */
  readonly mirror?: string;
}

/**
 * Gets QEMU 11.1 or newer from Debian, without root and without installing anything: packages are unpacked into
 * `qemu-<version>/tree` of the cache, and scripts in `qemu-<version>/bin` run its programs. About 90 MB are downloaded, and
 * 280 MB stay.
 * @returns the folder of the programs
 * @throws QemuError UNUSABLE, with what apt says
 */
export function getQemu(options: GetOptions = {}): string {
  const { say = () => {}, cache = cacheFolder() } = options;
  const debian = debianArchitecture();
  const mirror = options.mirror ?? mirrorOfThisMachine();
  mkdirSync(cache, { recursive: true });
  removeAbandoned(cache);
  const work = join(cache, `getting-${pid}`);
  try {
    say(`downloading packages from ${mirror}`);
    const packages = downloadPackages(join(work, 'apt'), mirror);
    unpack(packages, join(work, 'qemu'), debian, say);
    const { text } = versionOf(join(work, 'qemu/bin/qemu-system-x86_64'));
    return settle(join(work, 'qemu'), join(cache, `qemu-${text}`));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function debianArchitecture(): DebianArchitecture {
  const name = runTool('dpkg', ['--print-architecture']).trim();
  const found = ARCHITECTURES[name];
  if (found !== undefined) return found;
  throw new QemuError('UNUSABLE', `QEMU is got for ${Object.keys(ARCHITECTURES).join(' and ')}, not for ${name}`, {
    remedy: 'install QEMU 10.0 or newer from your distribution',
  });
}

/** What others left that were ended while they got QEMU. */
function removeAbandoned(cache: string): void {
  for (const name of readdirSync(cache)) {
    const owner = UNFINISHED.exec(name)?.[1];
    if (owner !== undefined && !isAlive(Number(owner))) rmSync(join(cache, name), { recursive: true, force: true });
  }
}

function isAlive(process: number): boolean {
  try {
    kill(process, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function unpack(packages: string, folder: string, debian: DebianArchitecture, say: (line: string) => void): void {
  const tree = join(folder, 'tree');
  mkdirSync(tree, { recursive: true });
  const files = readdirSync(packages).filter((name) => name.endsWith('.deb'));
  say(`unpacking ${files.length} packages`);
  for (const file of files) runTool('dpkg-deb', ['-x', join(packages, file), tree]);
  for (const part of SUPERFLUOUS) rmSync(join(tree, part), { recursive: true, force: true });
  mkdirSync(join(folder, 'bin'));
  for (const arch of ARCHES) {
    const program = `qemu-system-${arch}`;
    writeFileSync(join(folder, 'bin', program), wrapperScript(program, debian), { mode: 0o755 });
  }
}

/** Puts the finished folder in its place; one that is there already stays. */
function settle(finished: string, place: string): string {
  try {
    renameSync(finished, place);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
  return join(place, 'bin');
}
