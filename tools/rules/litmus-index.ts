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
  /** Mutant → why it overrides no step. */
  readonly reasons?: Readonly<Record<string, string>>;
}

/** The backends whose mutants need a step. */
const OURS = ['core', 'smmuv3'];

/** Reads the index. */
export function readLitmus(path: string): LitmusEntry[] {
  return JSON.parse(readFileSync(path, 'utf8')) as LitmusEntry[];
}

/** The mutants of an entry that run on a backend that is here. */
export function mutantsOf({ mutants, backends, only }: LitmusEntry): string[] {
  return mutants.filter((mutant) => (only?.[mutant] ?? backends).some((backend) => OURS.includes(backend)));
}
