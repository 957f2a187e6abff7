import { FtraceSink } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, SID } from '../test/bench.js';
import { PciBench } from '../test/pci-bench.js';

describe('Events (SMMU-30)', () => {
  it('dumps and counts what the hardware records', () => {
    const bench = new PciBench().boot();
    const lines: string[] = [];
    bench.kernel.trace.add(new FtraceSink((line) => lines.push(line), new Set(['smmu_event'])));
    bench.function.state.busMaster = true;
    bench.do(function* () {
      const read = {
        kind: 'read',
        at: 0,
        tag: 1,
        pasid: 5,
        page: 0x7f1234567,
        offset: 0,
        bytes: 8,
        witness: 0,
      } as const;
      yield* bench.link.up(read);
    });
    expect(lines).toEqual([
      'smmu_event: smmuv3@9050000: event 0x0a received: 0x000000180000580a 0x0000000000000000 0x0000000000000000 ' +
        '0x0000000000000000 event: C_BAD_CD client: 0000:00:03.0 sid: 0x18 ssid: 0x5',
    ]);
    expect([...bench.driver.smmu.events.counts]).toEqual([[0x0a, 1]]);
  });

  // The record of smmuv3.md 5.2 for our stream: a stalled read of 0x7f1234567abc, SSID 5, STAG 7.
  const stalled = Uint32Array.of(0x5810, SID, 0x8000_0007, 0x208, 0x3456_7abc, 0x7f12, 0, 0);

  it('hands a stalled transaction over as a group of its own (SMMU-30)', () => {
    const bench = new Bench().boot();
    const lines: string[] = [];
    bench.kernel.trace.add(new FtraceSink((line) => lines.push(line), new Set(['dev_fault', 'dev_page_response'])));
    bench.do(() => bench.driver.smmu.events.handle(stalled));
    expect(lines).toEqual([
      'dev_fault: IOMMU:accelerator type=2 reason=0 addr=0x00007f1234567000 pasid=5 group=7 flags=3 prot=1',
      'dev_page_response: IOMMU:accelerator code=1 pasid=5 group=7',
    ]);
    const { commands } = bench.driver.smmu;
    const pa = commands.state.pa + 16 * ((commands.state.produced - 1) % 256);
    expect([bench.word(pa), bench.word(pa + 8)]).toEqual([0x0000_0042_0000_2044n, 7n]);
  });

  it('aborts a stalled transaction of a stream that nobody knows, once (SMMU-31)', () => {
    const bench = new Bench().boot();
    const { commands, events } = bench.driver.smmu;
    const before = commands.state.produced;
    const record = stalled.slice();
    record[1] = 0x7501;
    bench.do(() => events.handle(record));
    expect(commands.state.produced).toBe(before + 1);
    expect(bench.word(commands.state.pa + 16 * (before % 256))).toBe(0x0000_7501_0000_2044n);
    expect(events.counts.get(0x10)).toBe(1);
  });
});
