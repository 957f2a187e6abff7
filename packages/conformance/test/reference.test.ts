import { expect, it } from 'vitest';
import { referenceCandidate } from '../reference/candidate.js';
import { conformance, failuresOf } from '../src/index.js';

const kit = conformance({ test: it, create: referenceCandidate });

it('passes the kit with no FAIL', () => {
  expect(failuresOf(kit.report())).toEqual([]);
});
