import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, SID } from '../test/bench.js';
import type { Smmu } from './index.js';

/** What a routine put into the ring, 64-bit words in pairs. */
function commandsOf(bench: Bench, body: (smmu: Smmu) => Coroutine<void>): string[] {
  const { smmu } = bench.driver;
  const { commands } = smmu;
  const from = commands.state.produced;
  bench.do(() => body(smmu));
  const found: string[] = [];
  for (let position = from; position < commands.state.produced; position++) {
    const pa = commands.state.pa + 16 * (position % 256);
    found.push(`${bench.word(pa).toString(16).padStart(16, '0')} ${bench.word(pa + 8).toString(16)}`);
  }
  return found;
}

const SYNC = '000000000fc02046 0';

describe('commands (smmuv3.md 4.3)', () => {
  const bench = new Bench({
    capabilities: { rangeInvalidation: true },
    properties: { 'pasid-num-bits': 20 },
  }).boot();
  const master = bench.driver.smmu.masters.find(SID)!;
  const domain = master.domain!;

  it('encodes the invalidation of an STE', () => {
    expect(commandsOf(bench, (smmu) => smmu.invalidation.streamEntry(SID))).toEqual(['0000004200000003 1', SYNC]);
  });

  it('encodes the invalidation of all configuration', () => {
    expect(commandsOf(bench, (smmu) => smmu.invalidation.everyEntry())).toEqual(['0000000000000004 1f', SYNC]);
  });

  it('encodes the invalidation of a context descriptor, and of the level in front of it', () => {
    const leaf = commandsOf(bench, (smmu) => smmu.invalidation.contextDescriptor(domain, 0x12345));
    expect(leaf).toEqual(['0000004212345005 1', SYNC]);
    const level1 = commandsOf(bench, (smmu) => smmu.invalidation.contextLeaf(domain, 0x12345));
    expect(level1).toEqual(['0000004212345005 0', SYNC]);
  });

  it('encodes the invalidation of an ASID', () => {
    expect(commandsOf(bench, (smmu) => smmu.invalidation.tlbAsid(0x1234))).toEqual(['1234000000000011 0', SYNC]);
  });

  it('encodes the invalidation of pages, one command each and tables included', () => {
    const range = { first: 0x7f1234567, last: 0x7f1234568 };
    const pages = commandsOf(bench, (smmu) => smmu.invalidation.tlbByPage(0x12, range));
    expect(pages).toEqual(['0012000000000012 7f1234567000', '0012000000000012 7f1234568000', SYNC]);
  });

  it('encodes the invalidation of 16 pages as one range (SMMU-24)', () => {
    const range = commandsOf(bench, (smmu) => smmu.invalidation.tlbRange(0x12, { first: 0x400, last: 0x40f }));
    expect(range).toEqual(['0012000000400012 400400', SYNC]);
  });

  it('encodes what devices have to forget (SMMU-22, SMMU-23)', () => {
    const { domains } = bench.driver.smmu;
    domains.leave(master, domain);
    master.ats = true;
    domains.join(master, domain);
    const pages = commandsOf(bench, (smmu) => smmu.invalidation.atcRange(domain, 5, { first: 8, last: 11 }));
    expect(pages).toEqual(['0000004200005840 8002', SYNC]);
    const pasid = commandsOf(bench, (smmu) => smmu.invalidation.atcPasid(domain, 5));
    expect(pasid).toEqual(['0000004200005840 34', SYNC]);
    expect(commandsOf(bench, (smmu) => smmu.invalidation.atcDevice(master))).toEqual(['0000004200000040 34', SYNC]);
    domains.leave(master, domain);
    expect(commandsOf(bench, (smmu) => smmu.invalidation.atcPasid(domain, 5))).toEqual([]);
  });

  it('encodes answers to page requests, and does not wait for them (SMMU-32)', () => {
    const answer = (code: number): string[] =>
      commandsOf(bench, (smmu) => smmu.pageRequests.answer(SID, 5, 0x1ff, code));
    expect(answer(0)).toEqual(['0000004200005841 21ff']);
    expect(answer(1)).toEqual(['0000004200005841 11ff']);
    expect(answer(2)).toEqual(['0000004200005841 1ff']);
    const without = commandsOf(bench, (smmu) => smmu.pageRequests.answer(SID, null, 0x1ff, 0));
    expect(without).toEqual(['0000004200000041 21ff']);
  });

  it('encodes what a stalled transaction is told (SMMU-31)', () => {
    expect(commandsOf(bench, (smmu) => smmu.events.resume(SID, 0xbeef, true))).toEqual(['0000004200001044 beef']);
    expect(commandsOf(bench, (smmu) => smmu.events.resume(SID, 0xbeef, false))).toEqual(['0000004200002044 beef']);
  });

  it('invalidates the ASID as a whole from 512 pages on, without range commands (SMMU-21, MN-17)', () => {
    const plain = new Bench().boot();
    const of = (last: number): string[] =>
      commandsOf(plain, (smmu) => smmu.invalidation.tlbRange(7, { first: 1, last }));
    expect(of(512)).toEqual(['0007000000000011 0', SYNC]);
    expect(of(100).length).toBe(101);
    expect(of(2 ** 52 - 1)).toEqual(['0007000000000011 0', SYNC]);
  });
});

describe('CommandQueue', () => {
  it('skips a command that the hardware calls illegal, and goes on (smmuv3.md 4.4)', () => {
    const bench = new Bench().boot();
    const { commands, globalErrors } = bench.driver.smmu;
    const lines = commandsOf(bench, function* (smmu) {
      const batch = smmu.commands.batch();
      batch.add(Uint32Array.of(0xff, 0, 0, 0));
      yield* smmu.commands.submitAndSync(batch);
      yield* smmu.invalidation.tlbAsid(3);
    });
    expect(lines).toEqual(['0000000000000046 0', SYNC, '0003000000000011 0', SYNC]);
    expect([commands.state.errors, globalErrors.state.count]).toEqual([1, 1]);
  });

  it('gives up with an error when a SYNC is never consumed', () => {
    const bench = new Bench().boot();
    bench.bus.store32(0x0905_0020, 0); // CR0: the queue is off
    let message = '';
    bench.do(function* () {
      try {
        yield* bench.driver.smmu.invalidation.tlbAsid(1);
      } catch (error) {
        message = (error as Error).message;
      }
    });
    expect(message).toMatch(/CMD_SYNC timeout.*hwprod 0x.*hwcons 0x.*ETIMEDOUT/);
  });

  it('keeps batches whole when tasks share a ring of two commands', () => {
    const bench = new Bench({ settings: { 'smmuv3.cmdq-entries': 2 } }).boot();
    const { kernel } = bench;
    let through = 0;
    for (let asid = 1; asid <= 4; asid++) {
      kernel.spawn(`flush ${asid}`, function* () {
        yield* bench.driver.smmu.invalidation.tlbByPage(asid, { first: 0, last: 150 });
        through++;
      });
    }
    bench.do(function* () {});
    expect(through).toBe(4);
    expect(kernel.atRest).toBe(true);
  });
});
