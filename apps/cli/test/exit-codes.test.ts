import { describe, expect, it } from 'vitest';
import { iommukit } from './support.js';

describe('exit codes', () => {
  it.each([
    ['0 for help', 0, ['--help']],
    ['0 for the version', 0, ['--version']],
    ['0 for a list', 0, ['run', '--list']],
    ['0 for a run without findings', 0, ['run', 'buffer-job']],
    ['1 for a run with a finding', 1, ['run', 'buffer-job', '--set', 'alloc-fail=1']],
    ['1 for schedules with a finding', 1, ['run', 'buffer-job', '--set', 'alloc-fail=1', '--schedules', '3']],
    ['2 for an unknown command', 2, ['walk']],
    ['2 for an unknown flag', 2, ['run', 'buffer-job', '--sed', '1']],
    ['2 for a value that a flag does not take', 2, ['run', 'buffer-job', '--seed', '-1']],
    ['2 for too much', 2, ['run', 'buffer-job', 'killed-job']],
    ['2 for too little', 2, ['run']],
    ['2 for an unknown scenario', 2, ['run', 'nope']],
  ])('are %s', async (_what, code, argv) => {
    const called = await iommukit(...argv);
    expect(called.code).toBe(code);
    expect(code === 2 ? called.stdout : called.stderr).toBe('');
    expect(code === 2 ? called.stderr : called.stdout).not.toBe('');
  });
});
