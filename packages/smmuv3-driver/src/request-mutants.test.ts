import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { PciBench } from '../test/pci-bench.js';
import { PageRequests } from './index.js';

const INVALID = 1;

/** Nobody hears of a request that cannot be handled (no-answer-on-bad, nomem-silent). */
class Silent extends PageRequests {
  override *refuse(): Coroutine<void> {}
}

const PARTS = [
  ['no step', PageRequests],
  ['PageRequests.refuse', Silent],
] as const;

describe('a broken step', () => {
  it.each(PARTS)(
    'is found: a request of a stream that nobody knows waits for ever, with %s changed (L60, IOPF-24)',
    (_step, Part) => {
      const bench = new PciBench({ parts: { PageRequests: Part } });
      bench.do(function* () {
        yield* bench.driver.start();
        yield* bench.ask(3, 1, 0x1000, 1);
      });
      expect(bench.answers()).toEqual(Part === Silent ? [] : [[1, INVALID, 3]]);
    },
  );

  it.each(PARTS)(
    'is found: a request that finds no memory waits for ever, with %s changed (L54, IOPF-8)',
    (_step, Part) => {
      const bench = new PciBench({ parts: { PageRequests: Part } }).boot();
      bench.do(function* () {
        const { injection } = bench.kernel;
        injection.failAt = injection.state.count + 1;
        yield* bench.ask(3, 1, 0x1000, 1);
        yield* bench.kernel.clock.sleep(1000);
        injection.failAt = 0;
      });
      expect(bench.answers().map(([group, code]) => [group, code])).toEqual(Part === Silent ? [] : [[1, INVALID]]);
    },
  );
});
