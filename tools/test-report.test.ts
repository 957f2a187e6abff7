import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { countTests } from './test-report.mjs';

describe('the count of tests', () => {
  const folder = mkdtempSync(join(tmpdir(), 'iommukit-report-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** A package whose report was written at second 1000, and a run that began at `started` seconds. */
  function count(report: object | string | null, ok: boolean, started = 999) {
    const directory = mkdtempSync(join(folder, 'package-'));
    if (report !== null) {
      const file = join(directory, 'reports/tests.json');
      mkdirSync(join(directory, 'reports'));
      writeFileSync(file, typeof report === 'string' ? report : JSON.stringify(report));
      utimesSync(file, 1000, 1000);
    }
    return countTests({ directory, ok }, started * 1000);
  }
  const report = (passed: number, failed: number, testResults: object[] = []) => ({
    numPassedTests: passed,
    numFailedTests: failed,
    testResults,
  });

  it('is what the report says, also when the report comes from the cache', () => {
    expect(count(report(7, 0), true)).toEqual({ passed: 7, failed: 0 });
    expect(count(report(7, 0), true, 2000)).toEqual({ passed: 7, failed: 0 });
    expect(count(report(5, 2), false)).toEqual({ passed: 5, failed: 2 });
  });

  it('counts a file that could not be loaded as a failure', () => {
    const broken = { status: 'failed', assertionResults: [] };
    expect(count(report(5, 0, [broken]), false)).toEqual({ passed: 5, failed: 1 });
  });

  it('counts a task that failed without a report as a failure, and believes no old report', () => {
    expect(count(null, false)).toEqual({ passed: 0, failed: 1 });
    expect(count(null, true)).toEqual({ passed: 0, failed: 1 });
    expect(count('{', true)).toEqual({ passed: 0, failed: 1 });
    expect(count(report(7, 0), false, 2000)).toEqual({ passed: 0, failed: 1 });
    expect(count(report(7, 0), false)).toEqual({ passed: 7, failed: 1 });
  });
});
