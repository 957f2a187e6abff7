import { readFileSync } from 'node:fs';

/** One numbered rule of the specification. */
export interface Rule {
  readonly id: string;
  /** What it says, in one line. */
  readonly text: string;
  /** Why nothing can test it, where that is so. */
  readonly reason?: string;
}

/** The families of rules, as their numbers begin. */
export const FAMILIES = [
  'IOASID',
  'MM',
  'VMA',
  'PF',
  'MN',
  'TLB',
  'SVA',
  'IOPF',
  'FEAT',
  'SMMU',
  'VTD',
  'ASID',
  'PCI',
  'ATC',
] as const;

/** Reads the table of rules. */
export function readRules(path: string): Rule[] {
  return JSON.parse(readFileSync(path, 'utf8')) as Rule[];
}

const CITATION = new RegExp(String.raw`\b(${FAMILIES.join('|')})-(\d+)(?:\s*…\s*(?:\1)?-(\d+))?`, 'g');

/** The rules that a text cites, in order: `MN-15`, and `ASID-1 … ASID-10` for all of them. */
export function citedIn(text: string): string[] {
  const ids: string[] = [];
  for (const [, family, first, last] of text.matchAll(CITATION)) {
    for (let n = Number(first); n <= Number(last ?? first); n++) ids.push(`${family}-${n}`);
  }
  return ids;
}
