import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Counts the tests in the report that `vitest run` left in a package's `reports/tests.json`.
 *
 * A task that failed without a failing test in a report written since `started` (no report, an old one, a file that
 * could not be loaded) counts as one failure, and what an old report says about passed tests is not believed.
 *
 * @param {{ directory: string, ok: boolean }} task the test task
 * @param {number} started when the run began, in ms since the epoch
 */
export function countTests(task, started) {
  const file = join(task.directory, 'reports/tests.json');
  let report;
  try {
    report = JSON.parse(readFileSync(file, 'utf8'));
    if (!task.ok && statSync(file).mtimeMs < started) report = undefined;
  } catch {
    report = undefined;
  }
  if (report === undefined) return { passed: 0, failed: 1 };
  const { numPassedTests: passed, numFailedTests, testResults } = report;
  const brokenFiles = testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
  const failed = numFailedTests + brokenFiles.length;
  return { passed, failed: task.ok ? failed : Math.max(failed, 1) };
}
