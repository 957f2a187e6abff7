import { describe, it } from 'vitest';
import { conformance } from '../src/index.js';
import { column } from './column.js';
import { traced } from './traced.js';
import { VTD, vtdBackend, vtdCachingMode, vtdCandidate, vtdExtendedContexts, vtdWithoutFaults } from './vtd.js';

/** Random schedules of each test, where another file runs all of them on the same driver. */
const SOME = 4;

describe('without page faults', () => void column(vtdWithoutFaults, SOME));
describe('in caching mode', () => void column(vtdCachingMode, SOME));
describe('in the extended-context mode', () => void column(vtdExtendedContexts, SOME));

describe('a wrapper that writes down every call', () => {
  const backend = { ...vtdBackend, driver: traced(vtdBackend.driver, []) };
  const manifest = {
    ...VTD,
    supervisorPasid: 'the wrapper does not have the call',
    encodings: 'the queue is inside the wrapper',
  };
  conformance({ test: it, create: () => vtdCandidate({ backend, manifest }), schedules: 1 });
});
