import { spawnSync } from 'node:child_process';
import { QemuError } from '../errors.js';

/** The version of a program. */
export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
  /** As QEMU writes it: `11.1.3`. */
  readonly text: string;
}

/** The oldest version that is supported. */
export const OLDEST = { major: 10, minor: 0 } as const;

/** What `--version` prints, read; null if it is something else. */
export function parseVersion(text: string): QemuVersion | null {
  const match = /^QEMU emulator version (\d+)\.(\d+)\.(\d+)/m.exec(text);
  if (match === null) return null;
  const [major, minor, micro] = match.slice(1).map(Number) as [number, number, number];
  return { major, minor, micro, text: `${major}.${minor}.${micro}` };
}

/** The version of the program at `path`. @throws QemuError UNUSABLE if it does not run or does not say */
export function versionOf(path: string): QemuVersion {
  const { stdout, stderr, error, status } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 5000 });
  const version = status === 0 ? parseVersion(stdout) : null;
  if (version !== null) return version;
  const why =
    error === undefined ? `ends with ${status} and prints no version of QEMU` : `does not run (${error.message})`;
  throw new QemuError('UNUSABLE', `${path} ${why}`, { stderr: stderr ?? '' });
}

/** True for versions from {@link OLDEST} on. */
export function isSupported({ major, minor }: QemuVersion): boolean {
  return major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor);
}
