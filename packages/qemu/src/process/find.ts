import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { env } from 'node:process';
import { QemuError } from '../errors.js';
import type { QemuArch } from '../machines/kinds.js';
import { isSupported, OLDEST, type QemuVersion, versionOf } from './version.js';

/** A program that can be started. */
export interface QemuProgram {
  readonly arch: QemuArch;
  readonly path: string;
  readonly version: QemuVersion;
  /** Where it was found, in words. */
  readonly source: string;
}

/** The command that gets QEMU, as messages name it. */
export const GET_QEMU = 'npx iommukit qemu --get';

/** Where to look; the surroundings of this process unless a test gives others. */
export interface SearchPlaces {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly home: string;
}

const HERE: SearchPlaces = { environment: env, home: homedir() };

/** The folder that versions of QEMU are unpacked in: `qemu-11.1.3/bin/qemu-system-x86_64`. */
export function cacheFolder({ environment, home }: SearchPlaces = HERE): string {
  return join(environment['XDG_CACHE_HOME'] || join(home, '.cache'), 'iommukit');
}

/**
 * Finds QEMU for an instruction set: `path` if it is given, else IOMMUKIT_QEMU (each a program, or a folder of programs), else
 * what was unpacked into the cache (newest first), else PATH.
 * @throws QemuError MISSING or UNUSABLE, naming the command that gets it. What was named is used or refused; of the others,
 * those that are too old are passed by.
 */
export function findQemu(arch: QemuArch, path?: string, places: SearchPlaces = HERE): QemuProgram {
  if (path !== undefined) return named(arch, path, 'as told');
  const { environment } = places;
  const chosen = environment['IOMMUKIT_QEMU'];
  if (chosen !== undefined && chosen !== '') return named(arch, chosen, 'IOMMUKIT_QEMU');
  let refused: QemuError | null = null;
  for (const { file, source } of candidates(arch, places)) {
    if (!isProgram(file)) continue;
    try {
      return usable(arch, file, source);
    } catch (error) {
      refused ??= error as QemuError;
    }
  }
  throw refused ?? missing(arch);
}

function candidates(arch: QemuArch, places: SearchPlaces): { file: string; source: string }[] {
  const name = `qemu-system-${arch}`;
  const cache = cacheFolder(places);
  const cached = unpackedVersions(cache).map((folder) => ({
    file: join(cache, folder, 'bin', name),
    source: 'the cache',
  }));
  const folders = (places.environment['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return [...cached, ...folders.map((folder) => ({ file: join(folder, name), source: 'PATH' }))];
}

/** The folders of the cache, newest version first. */
function unpackedVersions(cache: string): string[] {
  let names: string[] = [];
  try {
    names = readdirSync(cache);
  } catch {
    return [];
  }
  const number = (name: string) =>
    name
      .slice(5)
      .split('.')
      .reduce((sum, part) => sum * 1000 + Number(part), 0);
  return names.filter((name) => /^qemu-\d+\.\d+\.\d+$/.test(name)).sort((a, b) => number(b) - number(a));
}

function named(arch: QemuArch, path: string, source: string): QemuProgram {
  const whole = resolve(path);
  let file = whole;
  if (isFolder(whole)) {
    const tries = [join(whole, `qemu-system-${arch}`), join(whole, 'bin', `qemu-system-${arch}`)];
    file = tries.find(isProgram) ?? tries[0]!;
  } else if (isProgram(whole) && ofOtherArch(whole, arch)) {
    file = whole.replace(/qemu-system-[^/]+$/, `qemu-system-${arch}`);
  }
  if (isProgram(file)) return usable(arch, file, source);
  throw new QemuError('MISSING', `there is no program ${file} (${source})`, {
    remedy: `name a program or a folder that has qemu-system-${arch}, or run \`${GET_QEMU}\``,
  });
}

/** A program for another instruction set was named: its neighbour is meant. */
function ofOtherArch(file: string, arch: QemuArch): boolean {
  const match = /qemu-system-([^/]+)$/.exec(file);
  return match !== null && match[1] !== arch;
}

function usable(arch: QemuArch, path: string, source: string): QemuProgram {
  const version = versionOf(path);
  if (!isSupported(version)) {
    throw new QemuError('UNUSABLE', `${path} is QEMU ${version.text}, older than ${OLDEST.major}.${OLDEST.minor}`, {
      remedy: `run \`${GET_QEMU}\`, or name a newer one`,
    });
  }
  return { arch, path, version, source };
}

function missing(arch: QemuArch): QemuError {
  return new QemuError('MISSING', `no qemu-system-${arch} is in the cache or on PATH`, {
    remedy: `run \`${GET_QEMU}\` (Debian 12, no root needed), or install QEMU ${OLDEST.major}.${OLDEST.minor} or newer`,
  });
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function isProgram(path: string): boolean {
  if (!(statSync(path, { throwIfNoEntry: false })?.isFile() ?? false)) return false;
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
