import { describe, expect, it } from 'vitest';
import { BASE, Bench, codeOf } from '../test/bench.js';
import { PCI_SID, PciBench } from '../test/pci-bench.js';
import { smmuGlobalError } from './index.js';

const [CR0, GERROR, GERRORN] = [0x20, 0x60, 0x64];

describe('GlobalErrors (smmuv3.md 1.6, 7.1)', () => {
  it.each([
    [0x100, 'device has entered Service Failure Mode!'],
    [0x80, 'GERROR MSI write aborted'],
    [0x40, 'PRIQ MSI write aborted'],
    [0x20, 'EVTQ MSI write aborted'],
    [0x10, 'CMDQ MSI write aborted'],
    [0x08, 'PRIQ write aborted -- events may have been lost'],
    [0x04, 'EVTQ write aborted -- events may have been lost'],
  ])('prints bit 0x%s, and acknowledges it', (bit, text) => {
    const bench = new Bench().boot();
    const lines: string[] = [];
    bench.kernel.trace.add({ event: ({ point, record }) => lines.push(point.format(record)) });
    bench.do(function* () {
      bench.hardware.registers.raiseError(bit);
      yield* bench.kernel.clock.sleep(1);
    });
    const head = `unexpected global error reported (0x${bit.toString(16).padStart(8, '0')}), this could be serious`;
    // The model's GERROR message is no interrupt: its failure is found with the next one.
    if (bit === 0x80 && lines.length === 0) return;
    expect(lines).toEqual([`smmuv3@9050000: ${head}: ${text}`]);
    expect(bench.bus.load32(BASE + GERRORN)).toBe(bench.bus.load32(BASE + GERROR));
    expect(bench.bus.load32(BASE + CR0)).toBe(bit === 0x100 ? 0 : 0x1f);
  });

  it('prints several at once, the most serious first', () => {
    expect(smmuGlobalError.format({ smmu: 'smmu', active: 0x10c })).toBe(
      'smmu: unexpected global error reported (0x0000010c), this could be serious: device has entered Service Failure ' +
        'Mode!: PRIQ write aborted -- events may have been lost: EVTQ write aborted -- events may have been lost',
    );
  });

  it('switches a failing SMMU off; whoever waits for it is told, and nobody waits for ever', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      bench.hardware.registers.raiseError(0x100);
      yield* bench.kernel.clock.sleep(1);
      const { mm } = yield* bench.makeMm();
      expect(yield* codeOf(bench.driver.smmu.invalidation.tlbAsid(1))).toBe('ETIMEDOUT');
      yield* bench.core.mms.put(mm);
    });
  });

  it('does nothing when it is called without an error', () => {
    const bench = new Bench().boot();
    bench.do(() => bench.driver.smmu.globalErrors.work());
    expect(bench.driver.smmu.globalErrors.state.count).toBe(0);
  });

  it('discards incomplete groups after an aborted write of a page request, and takes requests again (IOPF-15)', () => {
    const bench = new PciBench().boot();
    const { smmu } = bench.driver;
    bench.do(function* () {
      yield* bench.ask(9, 7, 0x1000, 1, false);
      yield* bench.kernel.clock.sleep(1);
      expect(smmu.core.faults.byDevice.get(bench.pci)!.partial).toHaveLength(1);
      const { memory } = bench.hardware;
      const contains = memory.contains.bind(memory);
      const { pa } = smmu.pageRequests.queue.state;
      memory.contains = (address) => (address < pa || address >= pa + 4096) && contains(address);
      yield* bench.ask(9, 8, 0x1000, 1);
      yield* bench.kernel.clock.sleep(1);
      memory.contains = contains;
      expect(smmu.core.faults.byDevice.get(bench.pci)!.partial).toHaveLength(0);
      yield* bench.ask(9, 9, 0x1000, 1);
      yield* bench.kernel.clock.sleep(1);
    });
    expect(bench.answers().map(([group]) => group)).toContain(9);
    expect(bench.link.stream).toBe(PCI_SID);
  });
});
