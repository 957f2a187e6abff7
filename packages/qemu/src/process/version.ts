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

/** How long a program may take to say its version, in seconds: it does nothing else. */
const SAY_S = 4;
/** The exit code of a program that was killed, as the tool gives it that watches the time. */
const KILLED = 137;

/** The version of the program at `path`. @throws QemuError UNUSABLE if it does not run, does not end or does not say */
export function versionOf(path: string): QemuVersion {
  const { stdout, stderr, error, status, signal } = versionSaid(path);
  const version = status === 0 ? parseVersion(stdout) : null;
  if (version !== null) return version;
  throw new QemuError('UNUSABLE', `${path} ${whyNot(error, status, signal)}`, { stderr: stderr ?? '' });
}

/** A script may start others, so everything is killed that it started; that takes a tool, without which the script alone is killed. */
function versionSaid(path: string) {
  const timed = spawnSync('timeout', ['-s', 'KILL', String(SAY_S), path, '--version'], { encoding: 'utf8' });
  if ((timed.error as NodeJS.ErrnoException | undefined)?.code !== 'ENOENT') return timed;
  return spawnSync(path, ['--version'], { encoding: 'utf8', timeout: SAY_S * 1000, killSignal: 'SIGKILL' });
}

function whyNot(error: Error | undefined, status: number | null, signal: NodeJS.Signals | null): string {
  if (signal === 'SIGKILL' || status === KILLED) return `does not say its version within ${SAY_S} s`;
  if (error !== undefined) return `does not run (${error.message})`;
  return `ends with ${status ?? signal} and prints no version of QEMU`;
}

/** True for versions from {@link OLDEST} on. */
export function isSupported({ major, minor }: QemuVersion): boolean {
  return major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor);
}
