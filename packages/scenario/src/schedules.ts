import { RandomChooser } from '@iommukit/kernel';
import type { Report, ScenarioRunner } from './runner.js';

/** Runs of one trace shape. */
export interface Kind {
  readonly shape: readonly string[];
  count: number;
  /** Replays the first run of this shape. */
  readonly token: string;
}

/** What many random schedules came to. */
export interface ScheduleReport {
  readonly runs: number;
  /** Distinct shapes, the most frequent first. */
  readonly kinds: readonly Kind[];
  /** Runs with findings; the first few are kept. */
  readonly failures: readonly Report[];
  readonly failed: number;
}

/** Failures kept whole; the others are counted. */
const KEPT_FAILURES = 10;

/** Runs `count` random schedules of one seed, in this process, from one boot. `progress` is called now and then. */
export function runSchedules(
  runner: ScenarioRunner,
  count: number,
  seed: number,
  progress: (done: number) => void = () => {},
): ScheduleReport {
  const kinds = new Map<string, Kind>();
  const failures: Report[] = [];
  let failed = 0;
  for (let i = 0; i < count; i++) {
    const report = runner.run(new RandomChooser(seed, i));
    const key = report.shape.join('\n');
    const kind = kinds.get(key);
    if (kind === undefined) kinds.set(key, { shape: report.shape, count: 1, token: report.outcome.token });
    else kind.count++;
    if (report.findings.length > 0) {
      failed++;
      if (failures.length < KEPT_FAILURES) failures.push(report);
    }
    if (i % 256 === 255) progress(i + 1);
  }
  return { runs: count, kinds: [...kinds.values()].sort((a, b) => b.count - a.count), failures, failed };
}
