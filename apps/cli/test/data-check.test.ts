import { describe, expect, it } from 'vitest';
import { variant } from './files.js';
import { iommukit } from './support.js';

describe('expect', () => {
  it.each([
    [
      'another byte',
      'expect: { buffer: dst, equals: src }',
      'expect: { buffer: dst, byte: 0x5b }',
      /byte 0 of dst \(at 0x[0-9a-f]+\) is 0x5a, not 0x5b/,
    ],
    [
      'data that no job wrote',
      'submit: { op: copy, from: src, to: dst }',
      'submit: { op: checksum, from: src }',
      /byte 0 of dst \(at 0x[0-9a-f]+\) is 0x0, not 0x5a/,
    ],
    [
      'a source that changed',
      '- wait',
      '- wait\n    - fill: { buffer: src, byte: 0x11 }',
      /byte 0 of dst \(at 0x[0-9a-f]+\) is 0x5a, not 0x11/,
    ],
  ])('fails the run and names the byte: %s', async (_what, from, to, message) => {
    const { code, stdout } = await iommukit('run', variant('buffer-job', from, to));
    const told = stdout.replace(/\n {10,}/g, ' ');
    expect(told).toMatch(/verdict +1 finding/);
    expect(told).toMatch(message);
    expect(code).toBe(1);
  });

  it('fails when a job ends otherwise than the scenario says', async () => {
    const { code, stdout } = await iommukit('run', variant('buffer-job', '- wait', '- wait: cancelled'));
    expect(stdout).toMatch(/process: wait: the job ended done, not cancelled/);
    expect(code).toBe(1);
  });

  it('finds a second page that was not copied', async () => {
    // The copy is as long as the shorter buffer: the tail of dst stays zero.
    const one = variant(
      'buffer-job',
      'submit: { op: copy, from: src, to: dst }',
      'mmap: { buffer: half, pages: 1 }\n    - fill: { buffer: half, byte: 0x5a }\n    - submit: { op: copy, from: half, to: dst }',
    );
    const { code, stdout } = await iommukit('run', one);
    expect(stdout).toMatch(/byte 4096 of dst/);
    expect(code).toBe(1);
  });
});
