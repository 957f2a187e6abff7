import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs `body` with a folder for temporary files, which is gone afterwards. */
export async function withFolder<T>(body: (folder: string) => T | Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'iommukit-test-'));
  try {
    return await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The processes that have `word` in their command line, by id; those that have ended and wait for their parent are not. */
export function processesWith(word: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((id) => {
      try {
        return readFileSync(`/proc/${id}/cmdline`, 'utf8').includes(word);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** What this process has open, by what it is: descriptors that lead to `word`. */
export function descriptorsTo(word: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.includes(word) ? [target] : [];
    } catch {
      return [];
    }
  });
}

/** Waits until `done`, looking every few milliseconds. @returns whether it came true within `limitMs` */
export async function eventually(done: () => boolean, limitMs = 5000): Promise<boolean> {
  const end = performance.now() + limitMs;
  while (performance.now() < end) {
    if (done()) return true;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return done();
}
