import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions } from '../test/bench.js';

function started(options: BenchOptions = {}): Bench {
  const bench = new Bench(options);
  bench.do(() => bench.driver.start());
  bench.unit.log.length = 0;
  bench.trace.length = 0;
  return bench;
}

/** Read, first stage not present, SID 0x100, PASID 5 (vtd.md 9.1). */
const READ_FAULT = [0x00007f0000001000n, 0xc000057180000100n] as const;
/** Write, no PASID (PV is without meaning), SID 0x18, reason 0x59. */
const WRITE_FAULT = [0x0000000012345000n, 0x80ffff5900000018n] as const;

describe('Faults: the fault thread (VTD-49, vtd.md 1.8, 7.2)', () => {
  it('logs a record and gives it back: the last word first, F cleared by writing it', () => {
    const bench = started();
    const reads: number[] = [];
    const get = bench.unit.get.bind(bench.unit);
    bench.unit.record(0, ...READ_FAULT);
    bench.unit.get = (offset) => {
      if (offset >= 0x220) reads.push(offset);
      return get(offset);
    };
    bench.do(function* () {});
    expect(reads.filter((offset, i) => i < 4 || offset === 0x22c).slice(0, 4)).toEqual([0x22c, 0x228, 0x220, 0x224]);
    expect(bench.trace).toEqual([
      'vtd_fault_status: DMAR: DRHD: handling fault status reg 2',
      'vtd_fault: DMAR: [DMA Read PASID 0x5] Request device [01:00.0] fault addr 0x7f0000001000 ' +
        '[fault reason 0x71] SM: first-stage entry not present',
    ]);
    expect(bench.unit.take(/^w (22c|34)=/)).toEqual(['w 22c=80000000', 'w 34=3']);
    expect([get(0x22c) >>> 31, get(0x34)]).toEqual([0, 0]);
  });

  it('prints requests without PASID, writes, interrupt indexes and unknown reasons (vtd.md 7.2)', () => {
    const bench = started();
    const high = (reason: number): bigint => (1n << 63n) | (BigInt(reason) << 32n) | 0xfan;
    bench.unit.record(0, ...WRITE_FAULT);
    bench.do(function* () {});
    bench.unit.record(0, 0x0012_0000_0000_0000n, high(0x22));
    bench.do(function* () {});
    bench.unit.record(0, 0x1000n, high(0x60));
    bench.do(function* () {});
    expect(bench.trace.filter((line) => line.startsWith('vtd_fault:'))).toEqual([
      'vtd_fault: DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr 0x12345000 [fault reason 0x59] SM: PASID entry not present',
      'vtd_fault: DMAR: [INTR-REMAP] Request device [00:1f.2] fault index 0x12 [fault reason 0x22] interrupt entry not present',
      'vtd_fault: DMAR: [DMA Write NO_PASID] Request device [00:1f.2] fault addr 0x1000 [fault reason 0x60] Unknown',
    ]);
    expect([...bench.driver.vtd.faults.counts]).toEqual([
      [0x59, 1],
      [0x22, 1],
      [0x60, 1],
    ]);
  });

  it('begins at FRI and goes around the end; PFO last (vtd.md 5.4)', () => {
    const bench = started();
    const { unit } = bench;
    unit.set64(0x220, READ_FAULT[0]);
    unit.set64(0x228, READ_FAULT[1]);
    unit.set64(0x230, WRITE_FAULT[0]);
    unit.set64(0x238, WRITE_FAULT[1]);
    unit.updateStatus = () => {
      const pending = [1, 0].filter((i) => unit.get(0x22c + 16 * i) >>> 31 === 1);
      const first = pending.length > 0 ? (pending[0]! << 8) | 2 : 0;
      unit.registers.set(0x34, (unit.get(0x34) & ~0xff02) | first);
    };
    unit.raise(1); // PFO
    bench.do(function* () {});
    expect(bench.trace.map((line) => /status reg \w+|reason 0x\w+/.exec(line)![0])).toEqual([
      'status reg 103',
      'reason 0x59',
      'reason 0x71',
    ]);
    expect(unit.take(/^w (22c|23c|34)=/)).toEqual(['w 23c=80000000', 'w 22c=80000000', 'w 34=3']);
    expect(unit.get(0x34)).toBe(0);
  });

  it('goes on around the end as long as records come: FRI does not move while PPF is set (vtd.md 5.4)', () => {
    const bench = started();
    const { unit } = bench;
    const put = (i: number, [lo, hi]: readonly [bigint, bigint]): void => {
      unit.set64(0x220 + 16 * i, lo);
      unit.set64(0x228 + 16 * i, hi);
    };
    let fri = 0;
    unit.updateStatus = () => {
      const pending = [0, 1].filter((i) => unit.get(0x22c + 16 * i) >>> 31 === 1);
      const status = unit.get(0x34) & ~0xff02;
      if ((unit.get(0x34) & 2) === 0 && pending.length > 0) fri = pending[0]!;
      unit.registers.set(0x34, pending.length > 0 ? status | 2 | (fri << 8) : status);
    };
    const write = unit.write.bind(unit);
    let came = 0;
    unit.write = (offset, value) => {
      // The third fault takes the first record's place before the second, which FRI names, is given back.
      if (offset === 0x23c && came === 1) {
        came = 2;
        put(0, READ_FAULT);
      }
      write(offset, value);
      if (offset === 0x22c && came === 0) {
        came = 1;
        put(1, WRITE_FAULT);
        unit.updateStatus();
      }
    };
    unit.record(0, ...READ_FAULT);
    bench.do(function* () {});
    expect(bench.trace.flatMap((line) => /reason 0x\w+/.exec(line) ?? [])).toEqual([
      'reason 0x71',
      'reason 0x59',
      'reason 0x71',
    ]);
    expect(unit.get(0x34)).toBe(0);
  });

  it('looks again until no cause is left: a fault that comes meanwhile has no event of its own', () => {
    const bench = started();
    const { unit } = bench;
    const write = unit.write.bind(unit);
    unit.write = (offset, value) => {
      // A second fault is recorded behind the thread's back, just before PFO is cleared: PPF was set, so no event.
      if (offset === 0x34 && (value & 1) !== 0 && unit.get(0x22c) >>> 31 === 0 && bench.trace.length === 2) {
        unit.set64(0x220, WRITE_FAULT[0]);
        unit.set64(0x228, WRITE_FAULT[1]);
        unit.updateStatus();
      }
      write(offset, value);
    };
    unit.record(0, ...READ_FAULT);
    bench.do(function* () {});
    expect(bench.trace.filter((line) => line.startsWith('vtd_fault:'))).toHaveLength(2);
  });

  it('forgets what an earlier owner left, before it listens (VTD-49)', () => {
    const bench = new Bench();
    bench.unit.record(1, ...READ_FAULT);
    bench.unit.registers.set(0x34, bench.unit.get(0x34) | 0x11);
    bench.do(() => bench.driver.start());
    expect(bench.trace.filter((line) => line.startsWith('vtd_fault'))).toEqual([]);
    expect(bench.unit.get(0x34)).toBe(0);
  });
});
