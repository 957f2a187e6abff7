import { PageFaults, PERM } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import { expect, it } from 'vitest';
import { Bench } from '../test/bench.js';
import { type Asked, RequestRing } from '../test/request-ring.js';

// Responses to group 7 of requester 00:03.0 for PASID 1, as the unit gets them.
const SUCCESS = 'q 100180019 38 0 0';
const INVALID = 'q 100181019 38 0 0';

/** What is answered, and how often the mm is asked for a page, when a device wants to do `asked` to a mapping. */
function ask(perm: number, asked: Asked, offset = 0n): { answers: string[]; asked: number } {
  let count = 0;
  class CountedFaults extends PageFaults {
    override handleMmFault(...args: Parameters<PageFaults['handleMmFault']>): Coroutine<number> {
      count++;
      return super.handleMmFault(...args);
    }
  }
  const bench = new Bench({ coreParts: { PageFaults: CountedFaults } }).boot();
  const ring = new RequestRing(bench);
  let answers: string[] = [];
  bench.do(function* () {
    const { core, driver } = bench;
    const mm = core.mms.create();
    const va = yield* core.mms.mmap(mm, 4096, perm);
    const handle = yield* driver.bind(bench.device, mm);
    bench.unit.log.length = 0;
    ring.ask({ pasid: handle.pasid, address: va + offset, ...asked });
    yield* bench.kernel.clock.sleep(1000);
    answers = bench.unit.take();
    yield* driver.unbind(handle);
    yield* core.mms.put(mm);
  });
  return { answers, asked: count };
}

const read: Asked = { read: true, write: false };
const write: Asked = { write: true };
// An execute request says neither alone (a stop marker) nor with read (VTD-38) what a mapping could allow.

it('asks the mm for what the mapping allows (VTD-36)', () => {
  const once = { answers: [SUCCESS], asked: 1 };
  expect(ask(PERM.READ, read)).toEqual(once);
  expect(ask(PERM.READ | PERM.WRITE, write)).toEqual(once);
});

it('answers INVALID to what it does not allow, and asks nobody (VTD-36)', () => {
  const never = { answers: [INVALID], asked: 0 };
  expect(ask(PERM.READ, write)).toEqual(never);
  expect(ask(PERM.READ, { read: true, write: true })).toEqual(never);
  expect(ask(PERM.EXEC, read)).toEqual(never);
});

it('answers INVALID below the region that it finds, and above the last one (VTD-36)', () => {
  const never = { answers: [INVALID], asked: 0 };
  expect(ask(PERM.READ, read, -4096n)).toEqual(never);
  expect(ask(PERM.READ, read, 4096n)).toEqual(never);
});
