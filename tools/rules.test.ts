import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findCitations } from './rules/citations.js';
import { mutantsOf, readLitmus } from './rules/litmus-index.js';
import { loadParts } from './rules/load-parts.js';
import { clipped, printRules, reportRules } from './rules/rule-report.js';
import { citedIn, readRules } from './rules/rule-table.js';
import { problemOf, reportSteps } from './rules/step-report.js';
import { main } from './rules.js';

const root = fileURLToPath(new URL('fixtures/rules', import.meta.url));
const workspace = fileURLToPath(new URL('..', import.meta.url));

describe('the rules', () => {
  const citations = findCitations(root);
  const report = reportRules(readRules(`${root}/tools/rules/rules.json`), citations);

  it('are found in names of tests and groups, in strings and in comments, and not in tests that are skipped', () => {
    expect(citations.map(({ rule, kind, line }) => `${rule} ${kind} ${line}`)).toEqual([
      'MM-3 comment 3',
      'MM-1 name 4',
      'MM-2 name 5',
      'PF-1 name 5',
      'ASID-1 name 7',
      'ASID-2 name 7',
      'ASID-3 name 7',
      'PF-2 comment 8',
      'PF-4 string 9',
      'TLB-1 name 13',
      'TLB-99 name 14',
    ]);
    const { test, file } = citations.find(({ rule }) => rule === 'PF-2')!;
    expect([file, test]).toEqual([
      'packages/sample/src/sample.test.ts',
      'an engine (MM-1) › goes %s (ASID-1 … ASID-3)',
    ]);
  });

  it('are reported when they have neither a test nor a reason, or do not exist', () => {
    expect(report.missing.map(({ id }) => id)).toEqual(['PF-3']);
    expect(report.unknown.map(({ rule }) => rule)).toEqual(['TLB-99']);
  });

  it('are printed in 100 columns, each with its tests or its reason', () => {
    const lines = printRules(report, false);
    expect(lines).toContain('MM-2       Two.');
    expect(lines).toContain('           sample: starts (MM-2, PF-1)');
    expect(lines).toContain('           – not modelled');
    expect(lines).toContain('           ✗ no test');
    expect(lines.slice(-2)).toEqual(['12 rules: 10 with tests, 1 with a reason, 1 with neither', 'PF-3']);
    expect([...clipped('x'.repeat(200))].length).toBe(100);
  });

  it('are cited one by one or as a range', () => {
    expect(citedIn('MN-15, SMMU-16 and SMMU-2 … SMMU-4; SVA-1 …-3, INV-7, XPF-1, TLB-')).toEqual(
      'MN-15 SMMU-16 SMMU-2 SMMU-3 SMMU-4 SVA-1 SVA-2 SVA-3'.split(' '),
    );
  });
});

describe('the steps', () => {
  it('are methods of parts, inherited ones too; a property is none', async () => {
    const parts = await loadParts(root);
    const steps = reportSteps(readLitmus(`${root}/tools/rules/litmus.json`), parts);
    expect(Object.fromEntries(steps.map(({ mutant, problem }) => [mutant, problem]))).toEqual({
      own: null,
      inherited: null,
      generator: null,
      arrow: 'Engine has no method stop',
      absent: 'Engine has no method fly',
      'no-part': 'sample has no part Wing',
      'no-package': 'no package other has parts',
      stepless: 'it has no step',
      excused: null,
      misnamed: 'there is no such mutant',
    });
    expect(problemOf('sample:Engine.toString', parts)).toBe('Engine has no method toString');
    expect(problemOf('Engine.start', parts)).toContain('is not package:Part.method');
  });

  it('are asked of mutants that run on core or a backend that is here', () => {
    const entry = readLitmus(`${root}/tools/rules/litmus.json`)[0]!;
    expect(mutantsOf(entry)).not.toContain('elsewhere');
    expect(mutantsOf({ ...entry, backends: ['riscv'] })).toEqual([]);
  });

  it('are asked for VT-d too, where the one that is named is of the SMMUv3', () => {
    class Sva {
      flush(): void {}
    }
    const parts = { 'smmuv3-driver': { Sva }, 'vtd-driver': { Sva }, core: { Sva } };
    const entry = {
      id: 'L01',
      name: 'steps',
      backends: ['smmuv3', 'vtd'],
      mutants: ['both', 'forgotten', 'shared', 'one'],
      controls: [],
      only: { one: ['smmuv3'] },
      steps: {
        both: 'smmuv3-driver:Sva.flush',
        forgotten: 'smmuv3-driver:Sva.flush',
        shared: 'core:Sva.flush',
        one: 'smmuv3-driver:Sva.flush',
      },
      onVtd: { both: 'vtd-driver:Sva.flush', gone: 'vtd-driver:Sva.flush' },
    };
    const rows = reportSteps([entry], parts).map(({ mutant, step, problem }) => [mutant, step, problem]);
    expect(rows.slice(4)).toEqual([
      ['both', 'vtd-driver:Sva.flush', null],
      ['forgotten', null, 'it has no step on VT-d'],
      ['gone', 'vtd-driver:Sva.flush', 'there is no such mutant'],
    ]);
  });
});

describe('the command', () => {
  const said: string[] = [];
  beforeEach(() => {
    said.length = 0;
    for (const stream of ['log', 'error'] as const) {
      vi.spyOn(console, stream).mockImplementation((line: string) => void said.push(line));
    }
  });
  afterEach(() => vi.restoreAllMocks());

  it('returns 1 where something is missing, and 2 for what it does not understand', async () => {
    expect(await main([], root)).toBe(1);
    expect(await main(['--steps'], root)).toBe(1);
    expect(await main(['--verbose'], root)).toBe(2);
    expect(said.at(-1)).toContain('--help');
    expect(await main([], `${root}/packages`)).toBe(2);
    expect(await main(['--help'], root)).toBe(0);
    expect(said.at(-1)).toContain('--steps');
  });

  it('checks both tables at once, and tells only what is wrong', async () => {
    expect(await main(['--check'], root)).toBe(1);
    expect(said).toContain('PF-3 has neither a test nor a reason: Six, whose only test is skipped.');
    expect(said).toContain('packages/sample/src/sample.test.ts:14 cites TLB-99, which there is not');
    expect(said).toContain('L01 stepless: it has no step');
    expect(said.at(-1)).toBe('12 rules, 10 mutants, 8 findings');
  });

  it('prints JSON for programs', async () => {
    await main(['--json'], root);
    expect(JSON.parse(said.join('\n')).rules[1]).toMatchObject({ id: 'MM-2', tests: [{ rule: 'MM-2', line: 5 }] });
    said.length = 0;
    await main(['--steps', '--json'], root);
    expect(JSON.parse(said.join('\n'))[0]).toEqual({
      litmus: 'L01',
      mutant: 'own',
      step: 'sample:Engine.start',
      problem: null,
    });
  });

  it('knows every rule of the project once, in lines of 100 columns', () => {
    const rules = readRules(`${workspace}/tools/rules/rules.json`);
    expect(new Set(rules.map(({ id }) => id)).size).toBe(256);
    expect(rules.filter(({ text }) => text.length > 88)).toEqual([]);
  });
});
