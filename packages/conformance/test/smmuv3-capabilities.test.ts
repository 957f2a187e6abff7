import { describe, expect, it } from 'vitest';
import { conformance } from '../src/index.js';
import { column } from './column.js';
import { followingCpus, SMMUV3, smmuv3Backend, smmuv3Candidate, withoutAts, withoutFaults } from './smmuv3.js';
import { traced } from './traced.js';

/** Random schedules of each test, where another file runs all of them on the same driver. */
const SOME = 4;

describe('without page faults', () => void column(withoutFaults, SOME));
describe('without ATS', () => void column(withoutAts, SOME));
describe('with hardware that follows the CPUs', () => void column(followingCpus, SOME));

describe('a wrapper that writes down every call', () => {
  const calls: string[] = [];
  const backend = { ...smmuv3Backend, driver: traced(smmuv3Backend.driver, calls) };
  const manifest = { ...SMMUV3, encodings: 'the queue is inside the wrapper' };
  conformance({ test: it, create: () => smmuv3Candidate({ backend, manifest }), schedules: 1 });

  it('sees every method of the interface', () => {
    const methods = ['start', 'probeDevice', 'releaseDevice', 'enable', 'disable', 'bind', 'unbind'];
    const domains = ['allocDomain', 'freeDomain', 'attach', 'detach', 'map', 'unmap', 'iovaToPhys'];
    for (const method of [...methods, ...domains]) expect(calls, method).toContain(method);
  });
});
