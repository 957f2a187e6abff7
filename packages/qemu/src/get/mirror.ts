import { spawnSync } from 'node:child_process';
import { QemuError } from '../errors.js';

/** The address of a Debian archive among those that `apt-get update --print-uris` names, or null. */
export function debianMirror(printed: string): string | null {
  for (const line of printed.split('\n')) {
    const match = /^'([^']+)\/dists\/([^/']+)\/(?:In)?Release'/.exec(line);
    // Suites of the archive itself are named by one word, or by one and what updates it.
    if (match !== null && /^[a-z]+(-updates|-backports)?$/.test(match[2]!) && /\/debian\/?$/.test(match[1]!)) {
      return match[1]!.replace(/\/$/, '');
    }
  }
  return null;
}

/** The mirror that this machine's own apt uses. @throws QemuError UNUSABLE where there is none */
export function mirrorOfThisMachine(): string {
  const { stdout, error } = spawnSync('apt-get', ['update', '--print-uris'], { encoding: 'utf8' });
  const mirror = error === undefined ? debianMirror(stdout) : null;
  if (mirror !== null) return mirror;
  throw new QemuError('UNUSABLE', 'this machine has no apt with a Debian archive to get QEMU from', {
    remedy:
      'install QEMU 10.0 or newer from your distribution (on Debian and Ubuntu: qemu-system-x86 and qemu-system-arm)',
  });
}
