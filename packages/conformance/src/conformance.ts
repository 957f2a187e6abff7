import { FairChooser, RandomChooser } from '@iommukit/kernel';
import { Bench } from './bench.js';
import type { Candidate } from './candidate.js';
import { type ConformanceTest, NEEDS_OF_WAY, type Way } from './conformance-test.js';
import { type BackendManifest, type OptionalFeature, supports } from './manifest.js';
import { type ConformanceReport, reportOf, type TestResult } from './report.js';
import { SUITE } from './suite.js';

/** What the kit is given. */
export interface ConformanceOptions {
  /** Declares one test: vitest's or jest's `it`, node's `test`. The body is synchronous, and fails by throwing. */
  readonly test: (name: string, body: () => void) => unknown;
  /** Makes what is to be proven; called for each test anew. */
  readonly create: () => Candidate;
  /** Random schedules of each test, beside the fair one (default 20). */
  readonly schedules?: number;
  /** Their seed (default 1). */
  readonly seed?: number;
}

/** What the kit gives back. */
export interface Conformance {
  /** What came of the tests that have run by now. */
  report(): ConformanceReport;
}

/**
 * Declares every test that a backend must pass. Only the backend's manifest leaves one out, and for what it says is absent,
 * other tests prove that asking for it is refused.
 */
export function conformance({ test, create, schedules = 20, seed = 1 }: ConformanceOptions): Conformance {
  const { manifest } = create();
  const results: TestResult[] = [];
  for (const { name, way, test: one } of testsFor(manifest)) {
    const { feature, counter = false } = one;
    const result: TestResult = { name, feature, counter, passed: null, failure: null, runs: 0 };
    results.push(result);
    test(name, () => {
      try {
        runTest(new Bench(create(), one, way), result, schedules, seed);
        result.passed = true;
      } catch (error) {
        result.passed = false;
        result.failure = error instanceof Error ? error.message : String(error);
        throw error;
      }
    });
  }
  return { report: () => reportOf(manifest, results) };
}

/** One test as it is declared. */
interface Declared {
  readonly name: string;
  readonly way: Way | null;
  readonly test: ConformanceTest;
}

/** The tests that a backend must pass, by its manifest alone. */
export function testsFor(manifest: BackendManifest): readonly Declared[] {
  return SUITE.filter((test) => isMeantFor(manifest, test)).flatMap((test): readonly Declared[] => {
    if (test.ways === undefined && manifest.onlyCopies !== undefined) return [];
    if (test.ways === undefined) return [{ name: `${test.feature}: ${test.name}`, way: null, test }];
    return test.ways
      .filter((way) => manifest.onlyCopies === undefined || way === 'copies')
      .filter((way) => NEEDS_OF_WAY[way].every((need) => supports(manifest, need) || isCounterOf(test, need)))
      .map((way) => ({ name: `${test.feature}: ${test.name} [${way}]`, way, test }));
  });
}

/** True for a test of what happens without `need`. */
function isCounterOf({ counter = false, feature }: ConformanceTest, need: OptionalFeature): boolean {
  return counter && feature === need;
}

function isMeantFor(manifest: BackendManifest, { feature, needs = [], counter = false }: ConformanceTest): boolean {
  return supports(manifest, feature) !== counter && needs.every((need) => supports(manifest, need));
}

function runTest(bench: Bench, result: TestResult, schedules: number, seed: number): void {
  try {
    bench.run(new FairChooser(), 'fair');
  } finally {
    bench.stop();
  }
  result.runs++;
  if (bench.test.schedules === false || bench.foreign !== null) return;
  for (let i = 0; i < schedules; i++) {
    bench.run(new RandomChooser(seed, i), `random, seed ${seed}, run ${i}`);
    result.runs++;
  }
}
