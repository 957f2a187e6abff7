import { type LitmusEntry, mutantsOf, mutantsOnVtd } from './litmus-index.js';
import { clipped } from './rule-report.js';

/** Classes by package and name: what a mutant may be a subclass of. */
export type PackageParts = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** One mutant and its step. */
export interface MutantStep {
  readonly litmus: string;
  readonly mutant: string;
  /** `core:Mappings.flushCpu`, or null. */
  readonly step: string | null;
  /** What is wrong, or null. */
  readonly problem: string | null;
  /** Why there is no step, where the index says so. */
  readonly reason?: string;
}

/** Looks up every mutant's step among the parts. */
export function reportSteps(entries: readonly LitmusEntry[], parts: PackageParts): MutantStep[] {
  return entries.flatMap((entry) => [
    ...mutantsOf(entry).map((mutant) => {
      const step = entry.steps[mutant] ?? null;
      const reason = entry.reasons?.[mutant];
      const problem = step === null ? (reason === undefined ? 'it has no step' : null) : problemOf(step, parts);
      return { litmus: entry.id, mutant, step, problem, ...(reason !== undefined && { reason }) };
    }),
    ...mutantsOnVtd(entry).map((mutant) => {
      const step = entry.onVtd?.[mutant] ?? null;
      const problem = step === null ? 'it has no step on VT-d' : problemOf(step, parts);
      return { litmus: entry.id, mutant, step, problem };
    }),
    ...Object.entries({ ...entry.onVtd, ...entry.steps })
      .filter(([mutant]) => !entry.mutants.includes(mutant) && !entry.controls.includes(mutant))
      .map(([mutant, step]) => ({ litmus: entry.id, mutant, step, problem: 'there is no such mutant' })),
  ]);
}

/** Why a step is none of the parts' methods, or null. */
export function problemOf(step: string, parts: PackageParts): string | null {
  const [, name, part, method] = /^([\w-]+):(\w+)\.(\w+)$/.exec(step) ?? [];
  if (name === undefined || part === undefined || method === undefined) return `${step} is not package:Part.method`;
  const classes = parts[name];
  if (classes === undefined) return `no package ${name} has parts`;
  const found = classes[part];
  if (typeof found !== 'function') return `${name} has no part ${part}`;
  for (let at = found.prototype; at !== null && at !== undefined; at = Object.getPrototypeOf(at)) {
    const { value } = Object.getOwnPropertyDescriptor(at, method) ?? {};
    if (at !== Object.prototype && typeof value === 'function') return null;
  }
  return `${part} has no method ${method}`;
}

/** The steps as text: test, mutant, step. */
export function printSteps(steps: readonly MutantStep[]): string[] {
  const width = Math.max(0, ...steps.map(({ mutant }) => mutant.length));
  const lines = steps.map(({ litmus, mutant, step, problem, reason }) =>
    clipped(`${litmus} ${mutant.padEnd(width)} ${problem === null ? (step ?? `– ${reason}`) : `✗ ${problem}`}`),
  );
  const wrong = steps.filter(({ problem }) => problem !== null).length;
  return [...lines, '', `${steps.length} mutants, ${steps.length - wrong} with a step, ${wrong} without`];
}
