import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Candidate, conformance, type Feature } from '../src/index.js';
import { emptyBodies } from './empty-bodies.js';

const REFERENCE = new URL('../reference/', import.meta.url);
const REPORTS = new URL('../reports/', import.meta.url);

/** A copy of the reference backend in a folder of its own. */
export interface Skeleton {
  readonly folder: URL;
  /** Its files. */
  readonly files: readonly string[];
}

/** Copies the reference, the methods of the classes in `empty` files without their bodies. */
export function makeSkeleton(name: string, empty: readonly string[]): Skeleton {
  const folder = new URL(`skeleton-${name}/`, REPORTS);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const names = readdirSync(REFERENCE).filter((file) => file.endsWith('.ts'));
  for (const file of names) {
    const source = readFileSync(new URL(file, REFERENCE), 'utf8');
    writeFileSync(new URL(file, folder), empty.includes(file) ? emptyBodies(file, source) : source);
  }
  return { folder, files: names.map((file) => fileURLToPath(new URL(file, folder))) };
}

/** The candidate of a skeleton. */
export async function candidateOf({ folder }: Skeleton): Promise<() => Candidate> {
  const module = (await import(/* @vite-ignore */ new URL('candidate.ts', folder).href)) as {
    referenceCandidate(): Candidate;
  };
  return () => module.referenceCandidate();
}

/** Which of these rows fail; each is over with its first failure. */
export function rowsThatFail(create: () => Candidate, rows: readonly Feature[]): readonly Feature[] {
  const tests: { readonly name: string; readonly body: () => void }[] = [];
  conformance({ test: (name, body) => tests.push({ name, body }), create, schedules: 0 });
  return rows.filter((row) => tests.some(({ name, body }) => name.startsWith(`${row}: `) && fails(body)));
}

function fails(body: () => void): boolean {
  try {
    body();
    return false;
  } catch {
    return true;
  }
}
