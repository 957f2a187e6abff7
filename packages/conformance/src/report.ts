import { type BackendManifest, FEATURES, type Feature, reasonOf } from './manifest.js';

/** What came of one test. */
export interface TestResult {
  readonly name: string;
  readonly feature: Feature;
  /** True: it proves that an absent feature is refused. */
  readonly counter: boolean;
  /** Null before the runner has run it. */
  passed: boolean | null;
  /** Why it failed, or null. */
  failure: string | null;
  /** Schedules that it ran under. */
  runs: number;
}

/** `not run`: the runner left tests of it out. */
export type Verdict = 'pass' | 'absent' | 'FAIL' | 'not run';

/** One row of one backend. */
export interface FeatureResult {
  readonly feature: Feature;
  /** What the feature is, in words. */
  readonly title: string;
  readonly verdict: Verdict;
  /** Why it is absent, or null. */
  readonly reason: string | null;
  readonly tests: readonly TestResult[];
}

/** What came of a backend. */
export interface ConformanceReport {
  readonly backend: string;
  readonly features: readonly FeatureResult[];
  readonly tests: number;
  /** Runs of all tests together. */
  readonly runs: number;
}

/** Sums up results. */
export function reportOf(manifest: BackendManifest, results: readonly TestResult[]): ConformanceReport {
  const features = (Object.keys(FEATURES) as Feature[]).map((feature) => {
    const tests = results.filter((result) => result.feature === feature);
    const reason = reasonOf(manifest, feature);
    return { feature, title: FEATURES[feature], verdict: verdictOf(tests, reason), reason, tests };
  });
  const runs = results.reduce((sum, result) => sum + result.runs, 0);
  return { backend: manifest.name, features, tests: results.length, runs };
}

function verdictOf(tests: readonly TestResult[], reason: string | null): Verdict {
  if (tests.some(({ passed }) => passed === false)) return 'FAIL';
  if (tests.length === 0 && reason !== null) return 'absent';
  if (tests.length === 0 || tests.some(({ passed }) => passed === null)) return 'not run';
  return reason === null ? 'pass' : 'absent';
}

/** Feature × backend as a Markdown table, and below it the reasons for what is absent. */
export function conformanceTable(reports: readonly ConformanceReport[]): string {
  const rows = (Object.keys(FEATURES) as Feature[]).map((feature) => [
    FEATURES[feature],
    ...reports.map((report) => cellOf(report, feature)),
  ]);
  const table = [['', ...reports.map(({ backend }) => backend)], reports.map(() => '---'), ...rows];
  table[1]!.unshift('---');
  const lines = table.map((cells) => `| ${cells.join(' | ')} |`);
  return [...lines, '', ...reports.flatMap(reasonsIn)].join('\n').trimEnd();
}

/** One row of one report, as the table shows it. */
export function cellOf(report: ConformanceReport, feature: Feature): Verdict {
  return report.features.find((row) => row.feature === feature)!.verdict;
}

/** What failed, for people: the tests of every row that says FAIL, each with its reason. */
export function failuresOf({ features }: ConformanceReport): readonly string[] {
  return features.flatMap(({ tests }) =>
    tests.filter(({ passed }) => passed === false).map(({ name, failure }) => `${name}: ${failure}`),
  );
}

function reasonsIn({ backend, features }: ConformanceReport): string[] {
  const absent = features.filter(({ verdict }) => verdict === 'absent');
  if (absent.length === 0) return [];
  return [`- ${backend}, absent: ${absent.map(({ feature, reason }) => `${feature} (${reason})`).join('; ')}.`];
}
