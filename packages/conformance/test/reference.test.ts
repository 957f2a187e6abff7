import { expect, it } from 'vitest';
import { referenceCandidate } from '../reference/candidate.js';
import { failuresOf } from '../src/index.js';
import { column } from './column.js';

const kit = column(referenceCandidate);

it('passes the kit with no FAIL', () => {
  expect(failuresOf(kit.report())).toEqual([]);
});
