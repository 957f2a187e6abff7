import { Kernel } from '@iommukit/kernel';
import { expect, it } from 'vitest';
import { InFlight, NO_TICKET } from '../index.js';

it('hands out tickets that are stale once something was invalidated, until they are given back (MN-18)', () => {
  const inFlight = new InFlight(new Kernel());
  let settled = 0;
  inFlight.settled = () => settled++;
  const first = inFlight.begin();
  const second = inFlight.begin();
  expect([inFlight.stale(first), inFlight.waiting]).toEqual([false, false]);
  inFlight.invalidated();
  const third = inFlight.begin();
  expect([first, second, third].map((ticket) => inFlight.stale(ticket))).toEqual([true, true, false]);
  inFlight.end(second);
  inFlight.end(third);
  expect([inFlight.waiting, settled]).toEqual([true, 0]);
  inFlight.end(first);
  expect([inFlight.waiting, settled]).toEqual([false, 1]);
  expect(first).not.toBe(NO_TICKET);
});
