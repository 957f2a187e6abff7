import { describe, expect, it } from 'vitest';
import {
  type ConformanceReport,
  conformance,
  conformanceTable,
  EXPECTED_FEATURES,
  type ExpectedFeature,
  FEATURES,
  type Feature,
  OPTIONAL_FEATURES,
  type OptionalFeature,
  SUITE,
  testsFor,
} from './index.js';
import { reportOf, type TestResult } from './report.js';

const expected = Object.keys(EXPECTED_FEATURES) as ExpectedFeature[];
const NOTHING = { name: 'a backend that declares nothing' };
const optional = Object.keys(OPTIONAL_FEATURES) as OptionalFeature[];
const EVERYTHING = { name: 'everything', ...Object.fromEntries(optional.map((feature) => [feature, true])) };

describe('the suite', () => {
  it('has a test for every feature', () => {
    const tested = new Set(testsFor(EVERYTHING).map(({ test }) => test.feature));
    for (const feature of Object.keys(FEATURES) as Feature[]) expect(tested, feature).toContain(feature);
  });

  it('has a counter-test for every feature that a backend may lack, and runs it only where it lacks it', () => {
    for (const feature of [...expected, ...optional]) {
      if (feature === 'encodings') continue;
      const counters = SUITE.filter((test) => test.feature === feature && test.counter === true);
      expect(counters.length, feature).toBeGreaterThan(0);
      const without = { ...EVERYTHING, [feature]: 'it has none' };
      expect(testsFor(without).map(({ test }) => test)).toEqual(expect.arrayContaining(counters));
      for (const test of counters) expect(testsFor(EVERYTHING).map((declared) => declared.test)).not.toContain(test);
    }
  });

  it('takes for absent what a manifest does not name: a backend of today survives a feature of tomorrow', () => {
    const absent = Object.fromEntries(optional.map((feature) => [feature, 'it has none']));
    expect(testsFor(NOTHING).map(({ name }) => name)).toEqual(
      testsFor({ name: 'nothing', ...absent }).map(({ name }) => name),
    );
  });

  it('expects of every manifest what all backends have, unless it says why not', () => {
    for (const feature of expected) {
      const tests = SUITE.filter((test) => test.feature === feature && test.counter !== true);
      expect(tests.length, feature).toBeGreaterThan(0);
      expect(testsFor({ ...EVERYTHING }).map(({ test }) => test)).toEqual(expect.arrayContaining(tests));
      const without = testsFor({ ...EVERYTHING, [feature]: 'it has none' });
      for (const test of tests) expect(without.map((declared) => declared.test)).not.toContain(test);
    }
  });

  it('gives every test a name of its own', () => {
    const names = testsFor(EVERYTHING).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it('leaves out nothing but what a manifest says, and what needs it', () => {
    const all = new Set(testsFor(EVERYTHING).map(({ test }) => test));
    const counters = SUITE.filter(({ counter }) => counter === true);
    expect(SUITE.filter((test) => !all.has(test))).toEqual(counters);
  });
});

const result = (feature: Feature, passed: boolean | null, counter = false): TestResult => ({
  name: `${feature}: a test`,
  feature,
  counter,
  passed,
  failure: passed === false ? 'it broke' : null,
  runs: 1,
});

describe('a report', () => {
  const manifest = { name: 'toy', ats: true, pri: 'it has no queue' } as const;
  const report = reportOf(manifest, [
    result('bind', true),
    result('bind', false),
    result('exit', true),
    result('ats', null),
    result('pri', true, true),
  ]);
  const verdicts = Object.fromEntries(report.features.map(({ feature, verdict }) => [feature, verdict]));

  it('fails a row by one test, and passes it by all', () => {
    expect(verdicts).toMatchObject({ bind: 'FAIL', exit: 'pass', ats: 'not run', pri: 'absent', coherence: 'not run' });
    expect([report.tests, report.runs]).toEqual([5, 5]);
  });

  it('fails an absent feature whose refusal is not right', () => {
    const [row] = reportOf(manifest, [result('pri', false, true)]).features.filter(({ feature }) => feature === 'pri');
    expect(row).toMatchObject({ verdict: 'FAIL', reason: 'it has no queue' });
  });

  it('prints features and backends as a table, and why what is absent is', () => {
    const other: ConformanceReport = { ...report, backend: 'other' };
    const lines = conformanceTable([report, other]).split('\n');
    expect(lines[0]).toBe('|  | toy | other |');
    expect(lines[1]).toBe('| --- | --- | --- |');
    expect(lines).toContain(`| ${FEATURES.bind} | FAIL | FAIL |`);
    expect(lines.find((line) => line.startsWith('- toy, absent: '))).toContain('pri (it has no queue); ');
  });
});

describe('conformance', () => {
  it('declares its tests, and runs none by itself', () => {
    const names: string[] = [];
    const create = () => ({ manifest: NOTHING }) as never;
    const kit = conformance({ test: (name) => names.push(name), create });
    expect(names).toEqual(testsFor(NOTHING).map(({ name }) => name));
    expect(kit.report().features.every(({ verdict }) => verdict === 'not run' || verdict === 'absent')).toBe(true);
  });

  it('tells the runner of a test that fails', () => {
    const bodies: (() => void)[] = [];
    const create = () => ({ manifest: NOTHING }) as never;
    const kit = conformance({ test: (_name, body) => bodies.push(body), create });
    expect(bodies[0]).toThrow();
    expect(kit.report().features.filter(({ verdict }) => verdict === 'FAIL')).toHaveLength(1);
  });
});
