import type { Coroutine } from '@iommukit/kernel';
import { RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions, codeOf, SID } from '../test/bench.js';

function started(options: BenchOptions = {}): Bench {
  const bench = new Bench(options);
  bench.do(() => bench.driver.start());
  bench.unit.log.length = 0;
  bench.trace.length = 0;
  return bench;
}

/** The message of what `body` throws, or ''. */
function* messageOf(body: Coroutine<unknown>): Coroutine<string> {
  try {
    yield* body;
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

describe('InvalidationQueue: batches (vtd.md 3.13)', () => {
  it('puts a wait behind each batch: it writes 2 to a status word of its own (vtd.md 9.1)', () => {
    const bench = started();
    const { queue, invalidation } = bench.driver.vtd;
    const at = queue.state.produced;
    bench.do(() => invalidation.pasid(1, 5));
    const slot = (position: number) => [0, 8, 16, 24].map((i) => bench.unit.word(queue.addressOf(position) + i));
    expect(slot(at)).toEqual([0x500010017n, 0n, 0n, 0n]);
    expect(slot(at + 1)).toEqual([0x200000025n, BigInt(queue.statusOf(at + 1)), 0n, 0n]);
    expect(bench.unit.get(0x88)).toBe((at + 2) * 32);
  });

  it('asks for a drain of page requests in the wait (VTD-28c, VTD-30)', () => {
    const bench = started();
    const { queue } = bench.driver.vtd;
    bench.do(function* () {
      const batch = queue.batch();
      batch.add(Uint32Array.of(0x45));
      yield* queue.submitAndSync(batch, true);
    });
    // A fence only; and the wait with PD.
    expect(bench.unit.take()).toEqual([expect.stringMatching(/^q 2000000a5 /)]);
    expect(bench.unit.word(queue.addressOf(queue.state.produced - 2))).toBe(0x45n);
  });

  it('does not return before the status word is written', () => {
    const bench = started();
    const { unit, kernel } = bench;
    unit.completes = false;
    const order: string[] = [];
    kernel.spawn('hardware', function* () {
      yield* kernel.clock.sleep(500);
      order.push('completes');
      unit.completeWaits();
    });
    bench.do(function* () {
      yield* bench.driver.vtd.invalidation.pasid(1, 5);
      order.push('returns');
    });
    expect(order).toEqual(['completes', 'returns']);
  });

  it('waits for room when the ring is full, and keeps one slot empty', () => {
    const bench = started({ settings: { 'vtd.iq-entries': 128 } });
    const { unit, kernel } = bench;
    const { queue } = bench.driver.vtd;
    unit.completes = false;
    bench.do(function* () {
      for (let i = 0; i < 63; i++) {
        const batch = queue.batch();
        batch.add(Uint32Array.of(0x37));
        yield* queue.submit(batch);
      }
      expect(queue.room()).toBe(1);
      kernel.spawn('hardware', function* () {
        yield* kernel.clock.sleep(500);
        unit.completes = true;
        unit.completeWaits();
      });
      yield* bench.driver.vtd.invalidation.everyPasid();
      expect(kernel.clock.now()).toBe(500);
    });
    expect(queue.pending).toHaveLength(1);
  });

  it('goes around the ring many times', () => {
    const bench = started({ settings: { 'vtd.iq-entries': 128 } });
    bench.do(function* () {
      for (let i = 0; i < 500; i++) yield* bench.driver.vtd.invalidation.pasid(1, i);
    });
    expect(bench.unit.take()).toEqual(
      Array.from(
        { length: 500 },
        (_, i) => `q ${i === 0 ? '' : i.toString(16)}${i === 0 ? '10017' : '00010017'} 0 0 0`,
      ),
    );
  });

  it('sends batches of 16, each waited for', () => {
    const bench = started();
    const { queue } = bench.driver.vtd;
    bench.do(function* () {
      const batch = queue.batch();
      for (let i = 0; i < 40; i++) {
        if (batch.full) yield* queue.flush(batch);
        batch.add(Uint32Array.of(0x37));
      }
      yield* queue.submitAndSync(batch);
    });
    expect(bench.unit.take(/^(q|w 88)/).filter((line) => line.startsWith('w'))).toHaveLength(3);
    expect(queue.spare).toHaveLength(1);
  });

  it('keeps the batches of many tasks apart under random schedules', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const bench = started({ settings: { 'vtd.iq-entries': 128 } });
      const { kernel } = bench;
      const { invalidation } = bench.driver.vtd;
      for (let task = 0; task < 4; task++) {
        kernel.spawn(`task ${task}`, function* () {
          for (let i = 0; i < 20; i++) yield* invalidation.pasid(1, 16 + task);
        });
      }
      bench.do(function* () {}, new RandomChooser(seed));
      const lines = bench.unit.take();
      expect(lines).toHaveLength(80);
      expect(new Set(lines).size).toBe(4);
    }
  });

  it('traces what is submitted, without the wait (vtd.md 7.5)', () => {
    const bench = started();
    bench.do(() => bench.driver.vtd.invalidation.pasid(1, 5));
    expect(bench.trace).toEqual(['qi_submit: pc_inv dmar0: 0x500010017 0x0 0x0 0x0']);
  });

  it.each([
    ['vtd.iq-entries', 64],
    ['vtd.iq-entries', 100],
    ['vtd.iq-entries', 65536],
    ['vtd.prq-entries', 3],
  ])('refuses %s = %i', (key, value) => {
    let code = 'none';
    try {
      const bench = new Bench({ settings: { [key]: value } });
      bench.do(function* () {
        code = yield* codeOf(bench.driver.start());
      });
    } catch (error) {
      ({ code } = error as { code: string });
    }
    expect(code).toBe('EINVAL');
  });
});

describe('InvalidationQueue: errors (vtd.md 3.13)', () => {
  it('makes a refused descriptor one without effect, fails its batch, and goes on (IQE)', () => {
    const bench = started();
    const { unit } = bench;
    const { queue, invalidation } = bench.driver.vtd;
    unit.refuse = ([qw0]) => ((qw0! & 0xfn) === 0xfn ? 3 : 0);
    const at = queue.state.produced;
    bench.do(function* () {
      yield* invalidation.pasid(1, 4);
      const batch = queue.batch();
      batch.add(Uint32Array.of(0xf, 0x1234, 0x5678, 0));
      expect(yield* codeOf(queue.submitAndSync(batch))).toBe('EIO');
      yield* invalidation.pasid(1, 5);
    });
    expect(unit.word(queue.addressOf(at + 2))).toBe(0x45n);
    expect(unit.take()).toEqual(['q 400010017 0 0 0', 'q 500010017 0 0 0']);
    expect(bench.trace.filter((line) => !line.startsWith('qi_submit'))).toEqual([
      'vtd_fault_status: DMAR: DRHD: handling fault status reg 10',
      'vtd_queue_error: DMAR: VT-d detected Invalidation Queue Error: Reason 3' +
        '; QI HEAD: UNKNOWN qw0 = 0x12340000000f, qw1 = 0x5678' +
        `; QI PRIOR: Invalidation Wait qw0 = 0x200000025, qw1 = 0x${queue.statusOf(at + 1).toString(16)}` +
        '; Invalidation Queue Error (IQE) cleared',
    ]);
    expect(unit.get(0x34)).toBe(0);
  });

  it('fails only the batch of the refused descriptor; another one behind it is executed (IQE)', () => {
    const bench = started();
    const { unit, kernel } = bench;
    const { queue, invalidation } = bench.driver.vtd;
    unit.refuse = ([qw0]) => ((qw0! & 0xfn) === 0xfn ? 4 : 0);
    const codes: string[] = [];
    kernel.spawn('other', function* () {
      codes.push(yield* codeOf(invalidation.pasid(1, 5)));
    });
    bench.do(function* () {
      const batch = queue.batch();
      batch.add(Uint32Array.of(0xf));
      codes.push(yield* codeOf(queue.submitAndSync(batch)));
    });
    expect(codes.toSorted()).toEqual(['EIO', 'none']);
  });

  it('completes a batch whose wait itself is refused (IQE)', () => {
    const bench = started();
    const { unit } = bench;
    const { queue } = bench.driver.vtd;
    unit.refuse = ([qw0]) => ((qw0! & 0x8fn) === 0x85n ? 4 : 0); // PD is reserved
    bench.do(function* () {
      const batch = queue.batch();
      batch.add(Uint32Array.of(0x45));
      expect(yield* codeOf(queue.submitAndSync(batch, true))).toBe('EIO');
      yield* bench.driver.vtd.invalidation.pasid(1, 5);
    });
  });

  it('fetches again what could not be fetched, and writes a tail again that was wrong (IQEI 2, 1)', () => {
    for (const iqei of [2, 1]) {
      const bench = started();
      let errors = 2;
      bench.unit.refuse = () => (errors-- > 0 ? iqei : 0);
      bench.do(() => bench.driver.vtd.invalidation.pasid(1, 5));
      expect(bench.unit.take()).toEqual(['q 500010017 0 0 0']);
      expect(bench.driver.vtd.queue.state.errors).toBe(2);
    }
  });

  it('clears a bad completion and goes on (ICE)', () => {
    const bench = started();
    bench.unit.registers.set(0xb4, 0x0018_0000);
    bench.unit.raise(0x20);
    bench.do(function* () {});
    expect(bench.unit.get(0x34)).toBe(0);
    expect(bench.trace[1]).toBe(
      'vtd_queue_error: DMAR: VT-d detected Invalidation Completion Error: SID 18; Invalidation Completion Error (ICE) cleared',
    );
  });
});

describe('InvalidationQueue: devices that do not answer (L51, MN-18)', () => {
  /** The device is silent: waits behind an invalidation for it time out after a minute. */
  function silent(): Bench {
    const bench = new Bench().boot();
    const { unit, kernel } = bench;
    unit.completes = false;
    const execute = unit.execute.bind(unit);
    unit.execute = (words) => {
      execute(words);
      const type = words[0]! & 0xfn;
      if (type === 8n || type === 3n) kernel.clock.after(60e9, () => unit.timeOut(SID));
      else if (!unit.log.some((line) => /^q \S*[38] 7f/.test(line))) unit.completeWaits();
    };
    return bench;
  }

  it('sends the rest of an aborted batch again, without what was for a device that is gone (ITE)', () => {
    const bench = silent();
    const { vtd } = bench.driver;
    vtd.masters.isPresent = function* () {
      return false;
    };
    bench.do(function* () {
      const batch = vtd.queue.batch();
      vtd.invalidation.addPasid(batch, 1, 5);
      yield* vtd.invalidation.addDevicePages(batch, vtd.masters.find(SID)!, 5, { first: 0, last: 2 ** 52 - 1 });
      bench.unit.log.length = 0;
      const resume = vtd.queueErrors.dropGone.bind(vtd.queueErrors);
      vtd.queueErrors.dropGone = function* (given) {
        const dropped = yield* resume(given);
        bench.unit.log.push('q again');
        bench.unit.completes = true;
        bench.unit.execute = Object.getPrototypeOf(bench.unit).execute.bind(bench.unit);
        return dropped;
      };
      yield* vtd.queue.submitAndSync(batch);
      expect(vtd.masters.find(SID)!.gone).toBe(true);
    });
    expect(bench.unit.take()).toEqual([
      'q 500010026 0 0 0',
      'q 500180008 7ffffffffffff800 0 0',
      'q again',
      'q 500010026 0 0 0',
    ]);
    expect(bench.trace).toContain(
      'vtd_queue_error: DMAR: VT-d detected Invalidation Time-out Error: SID 18; Invalidation Time-out Error (ITE) cleared',
    );
  });

  it('gives up a device that is there and does not answer, after three times (ETIMEDOUT)', () => {
    const bench = silent();
    bench.do(function* () {
      const { vtd } = bench.driver;
      expect(yield* codeOf(vtd.invalidation.devicePasid(vtd.masters.find(SID)!, 5))).toBe('ETIMEDOUT');
    });
    expect(bench.kernel.clock.now()).toBe(180e9);
  });

  it('gives up hardware that does nothing at all, and frees the slots when it comes back', () => {
    const bench = started({ ecap: 0x0001_cd98_a000_0fc3n }); // no DT
    const { unit } = bench;
    const { queue, invalidation } = bench.driver.vtd;
    unit.completes = false;
    bench.do(function* () {
      const message = yield* messageOf(invalidation.pasid(1, 5));
      expect(message).toMatch(/^dmar0: wait at slot 7 does not complete \[head 6, tail 8\] \(ETIMEDOUT\)/);
      expect(bench.kernel.clock.now()).toBe(1e9);
      unit.completes = true;
      unit.completeWaits();
      yield* invalidation.pasid(1, 6);
      expect(queue.room()).toBe(255);
    });
  });
});
