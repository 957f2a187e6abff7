import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { BASE, Bench, type BenchOptions, SID } from '../test/bench.js';
import { CommandQueue } from './index.js';

const [ATC_INV, SYNC] = [0x40n, 0x46n];

/** A started SMMU, what it says of its command queue, and the commands of the ring. */
function started(options: BenchOptions = {}) {
  const bench = new Bench(options);
  const lines: string[] = [];
  bench.do(() => bench.driver.start());
  bench.kernel.trace.add({
    event: ({ point, record }) => {
      if (point.name.startsWith('smmu_cmdq')) lines.push(point.format(record));
    },
  });
  const { commands, invalidation } = bench.driver.smmu;
  const slot = (position: number): bigint[] => {
    const pa = commands.state.pa + 16 * commands.ring.index(position);
    return [bench.word(pa), bench.word(pa + 8)];
  };
  const since = (from: number): bigint[] =>
    Array.from({ length: commands.state.produced - from }, (_, i) => slot(from + i)[0]! & 0xffn);
  return { bench, lines, commands, invalidation, slot, since };
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

describe('CommandQueue: errors of commands (smmuv3.md 4.4)', () => {
  it('turns an illegal command into a SYNC without effect, and what follows is executed (CERROR_ILL)', () => {
    const { bench, lines, commands, slot } = started();
    const at = commands.state.produced;
    bench.do(function* () {
      const batch = commands.batch();
      batch.add(Uint32Array.of(0xff, 0x1234, 0x5678, 0));
      yield* commands.submitAndSync(batch);
    });
    expect(lines).toEqual([
      `smmuv3@9050000: CMDQ error (cons 0x0100000${at}): Illegal command: skipping command in error state: ` +
        '0x00001234000000ff 0x0000000000005678',
    ]);
    expect(slot(at)).toEqual([SYNC, 0n]);
    expect(bench.bus.load32(BASE + 0x60)).toBe(bench.bus.load32(BASE + 0x64)); // GERRORN = GERROR
    expect(bench.bus.load32(BASE + 0x9c)).toBe(at + 2); // CMDQ_CONS: no error, all consumed
  });

  it('fetches again after an abort (CERROR_ABT)', () => {
    const { bench, lines, commands, invalidation } = started();
    const { commands: hardware } = bench.hardware;
    const fetch = hardware.fetch.bind(hardware);
    let aborts = 2;
    hardware.fetch = (pa) => aborts-- <= 0 && fetch(pa);
    bench.do(() => invalidation.tlbAsid(1));
    expect(lines.map((line) => line.replace(/cons 0x[0-9a-f]{8}/, ''))).toEqual(
      Array(2).fill('smmuv3@9050000: CMDQ error (): Abort on command fetch: retrying command fetch'),
    );
    expect(commands.state.errors).toBe(2);
  });

  it('goes on at an error that the architecture may add', () => {
    const { bench, lines, commands } = started();
    bench.do(function* () {
      commands.report(0x0500_0001, 5, null);
    });
    expect(lines).toEqual(['smmuv3@9050000: CMDQ error (cons 0x05000001): Unknown']);
  });
});

describe('CommandQueue: time-outs (smmuv3.md 7.1)', () => {
  it.each([
    ['with devices that have caches', true, 100e9],
    ['without', false, 1e9],
  ])('gives a SYNC up after its limit %s, and goes on when the hardware does', (_, ats, limit) => {
    const { bench, lines, commands, invalidation } = started({ capabilities: { ats, pri: ats } });
    const { commands: hardware } = bench.hardware;
    const execute = hardware.execute.bind(hardware);
    const executed: number[] = [];
    const at = commands.state.produced;
    bench.do(function* () {
      hardware.execute = () => -1;
      const start = bench.kernel.clock.now();
      const message = yield* messageOf(invalidation.tlbAsid(1));
      const where = `[hwprod 0x0000000${at + 2}, hwcons 0x0000000${at}]`;
      expect(message).toContain(`smmuv3@9050000: CMD_SYNC timeout at 0x0000000${at + 1} ${where} (ETIMEDOUT)`);
      expect(lines).toEqual([`smmuv3@9050000: CMD_SYNC timeout at 0x0000000${at + 1} ${where}`]);
      expect(bench.kernel.clock.now() - start).toBe(limit);
      hardware.execute = (opcode) => {
        executed.push(opcode);
        return execute(opcode);
      };
      bench.kernel.kick(hardware.task);
      yield* invalidation.tlbAsid(2);
    });
    // Nothing was lost: the command of the batch that was given up, its SYNC, and the next ones.
    expect(executed).toEqual([0x11, 0x46, 0x11, 0x46]);
  });

  it('gives up when no room comes up in the ring', () => {
    const { bench, lines, invalidation } = started({
      settings: { 'smmuv3.cmdq-entries': 2 },
      capabilities: { ats: false, pri: false },
    });
    bench.hardware.commands.execute = () => -1;
    bench.do(function* () {
      yield* messageOf(invalidation.tlbAsid(1));
      expect(yield* messageOf(invalidation.tlbAsid(2))).toContain('smmuv3@9050000: CMDQ timeout (ETIMEDOUT)');
    });
    expect(lines.at(-1)).toBe('smmuv3@9050000: CMDQ timeout');
  });

  it('has no limit that comes before the hardware has given up a device (atc-wait-forever, P-7)', () => {
    const { commands } = started();
    expect(commands.limitNs()).toBeGreaterThan(60e9);
    expect(commands.limitNs()).toBeLessThan(Number.POSITIVE_INFINITY);
  });
});

describe('CommandQueue: batches (SMMU-25)', () => {
  /** The opcodes of an invalidation of 100 pages, one command each. */
  function pages(implementation: number): number[] {
    const { bench, commands, invalidation, since } = started();
    const { smmu } = bench.driver;
    smmu.probed = { ...smmu.features, implementation, rangeInvalidation: false };
    commands.spare.length = 0;
    const from = commands.state.produced;
    bench.do(() => invalidation.tlbByPage(1, { first: 0x1000, last: 0x1063 }));
    return since(from).map(Number);
  }

  it('puts 64 commands in one, and one SYNC at the end of the operation', () => {
    expect(pages(0)).toEqual([...Array<number>(100).fill(0x12), 0x46]);
    const { commands } = started();
    const batch = commands.batch();
    for (let i = 0; i < 64; i++) {
      expect(batch.full).toBe(false);
      batch.add(Uint32Array.of(1, 0, 0, 0));
    }
    expect(batch.full).toBe(true);
  });

  it('puts 63 and a SYNC of its own in each for an MMU-700, whatever its revision', () => {
    const wanted = [...Array<number>(63).fill(0x12), 0x46, ...Array<number>(37).fill(0x12), 0x46];
    for (const iidr of [0x4870043b, 0x4871243b]) expect(pages(iidr)).toEqual(wanted);
    expect(pages(0x4830043b)).toHaveLength(101); // an MMU-600
  });

  it('works in a ring of 2 entries, which wraps all the time', () => {
    const { bench, commands, invalidation } = started({ settings: { 'smmuv3.cmdq-entries': 2 } });
    const before = commands.state.produced;
    bench.do(() => invalidation.tlbByPage(1, { first: 0, last: 0x3f }));
    expect(commands.state.produced - before).toBe(65);
    expect(bench.bus.load32(BASE + 0x9c)).toBe(commands.state.produced % 4);
  });

  it('sends no command for a device without a cache', () => {
    const { bench, commands, since } = started();
    const from = commands.state.produced;
    bench.do(function* () {
      yield* bench.driver.probeDevice(bench.device);
      yield* bench.driver.smmu.invalidation.atcPasid(bench.driver.smmu.masters.find(SID)!.domain!, 1);
    });
    expect(since(from)).not.toContain(ATC_INV);
  });

  it('returns from a flush before it is complete when the wait is left out (flush-not-synced)', () => {
    class NoWait extends CommandQueue {
      override *waitForSync(): Coroutine<void> {}
    }
    for (const [Queue, done] of [
      [CommandQueue, true],
      [NoWait, false],
    ] as const) {
      const { bench, commands } = started({ parts: { CommandQueue: Queue } });
      bench.do(function* () {
        const batch = commands.batch();
        batch.add(Uint32Array.of(0x11, 0, 0, 0));
        yield* commands.submitAndSync(batch);
        expect(bench.bus.load32(BASE + 0x9c) === commands.state.produced).toBe(done);
      });
    }
  });
});
