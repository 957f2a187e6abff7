import { readFileSync } from 'node:fs';

/** One litmus test: a race, and the mutants that it must catch. */
export interface LitmusEntry {
  readonly id: string;
  readonly name: string;
  readonly backends: readonly string[];
  readonly mutants: readonly string[];
  readonly controls: readonly string[];
  /** Mutants and controls that not all of {@link backends} have. */
  readonly only?: Readonly<Record<string, readonly string[]>>;
  /** Mutant → the step that it overrides: `core:Mappings.flushCpu`. */
  readonly steps: Readonly<Record<string, string>>;
  /** The same on VT-d, where {@link steps} names one of the SMMUv3's. */
  readonly onVtd?: Readonly<Record<string, string>>;
  /** Mutant → why it overrides no step. */
  readonly reasons?: Readonly<Record<string, string>>;
}

/** The backends whose mutants need a step. */
const OURS = ['core', 'smmuv3', 'vtd'];

/** Reads the index. */
export function readLitmus(path: string): LitmusEntry[] {
  return JSON.parse(readFileSync(path, 'utf8')) as LitmusEntry[];
}

/** The mutants of an entry that run on a backend that is here. */
export function mutantsOf(entry: LitmusEntry): string[] {
  return entry.mutants.filter((mutant) => backendsOf(entry, mutant).some((backend) => OURS.includes(backend)));
}

/** The mutants of an entry that run on VT-d too, and whose step is one of the SMMUv3's: they need another. */
export function mutantsOnVtd(entry: LitmusEntry): string[] {
  return entry.mutants.filter(
    (mutant) => backendsOf(entry, mutant).includes('vtd') && (entry.steps[mutant] ?? '').startsWith('smmuv3'),
  );
}

function backendsOf({ backends, only }: LitmusEntry, mutant: string): readonly string[] {
  return only?.[mutant] ?? backends;
}
