import { RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import {
  CANCELLED,
  CHECKSUM,
  COPY,
  DONE,
  ENDLESS,
  FAILED,
  FILL,
  NO_PASID,
  PAGE,
  RUNNING,
  ramp,
  STOPPED,
} from '../test/literals.js';
import { NAME, PlatformBench } from '../test/platform-bench.js';

describe('an engine on a platform bus', () => {
  it('reads and writes untranslated, with its PASID and a tag, one access after the other', () => {
    const bench = new PlatformBench();
    bench.put(2 * PAGE, ramp(PAGE + 16));
    bench.do(function* () {
      const job = { operation: COPY, source: 2 * PAGE, destination: 8 * PAGE, bytes: PAGE + 16 };
      expect(yield* bench.job(job)).toBe(DONE);
    });
    expect(bench.bytes(8 * PAGE, PAGE + 16)).toEqual(ramp(PAGE + 16));
    const base = { at: 0, pasid: 5, witness: 0, offset: 0 };
    expect(bench.iommu.seen).toMatchObject([
      { ...base, kind: 'read', page: 2, bytes: PAGE },
      { ...base, kind: 'write', page: 8 },
      { ...base, kind: 'read', page: 3, bytes: 16 },
      { ...base, kind: 'write', page: 9 },
    ]);
    const tags = bench.iommu.seen.map((tlp) => tlp.tag);
    expect(new Set(tags).size).toBe(4);
    expect(tags).not.toContain(undefined);
  });

  it('interrupts when the last write was answered, once', () => {
    const bench = new PlatformBench();
    bench.iommu.verdict = (tlp) => (tlp.page === 9 ? null : 'ok');
    bench.do(function* () {
      yield* bench.start({ operation: FILL, destination: 8 * PAGE, bytes: 2 * PAGE });
      yield* bench.kernel.clock.sleep(1);
      expect([yield* bench.registers.read32(0x08), bench.pulses]).toEqual([RUNNING, []]);
      yield* bench.iommu.resume(bench.iommu.seen[1]!, 'ok');
      yield* bench.kernel.clock.sleep(1);
      expect([yield* bench.registers.read32(0x08), yield* bench.registers.read32(0x3c)]).toEqual([DONE, 1]);
    });
    expect(bench.pulses).toEqual([2]);
  });

  it.each([
    ['ca', CANCELLED],
    ['ur', FAILED],
  ] as const)('ends the job when an access is answered %s: %i', (status, outcome) => {
    for (const operation of [CHECKSUM, FILL]) {
      const bench = new PlatformBench();
      bench.iommu.verdict = (tlp) => (tlp.page === 3 ? status : 'ok');
      bench.do(function* () {
        const job = { operation, source: 2 * PAGE, destination: 2 * PAGE, bytes: 3 * PAGE };
        expect(yield* bench.job(job)).toBe(outcome);
      });
      expect(bench.iommu.seen.map((tlp) => tlp.page)).toEqual([2, 3]);
    }
  });

  it('is cancelled when an access that stalled is aborted, and goes on when it is retried (IOPF-20)', () => {
    for (const [status, outcome] of [
      ['ca', CANCELLED],
      ['ok', DONE],
    ] as const) {
      const bench = new PlatformBench();
      bench.iommu.verdict = () => null;
      bench.do(function* () {
        yield* bench.start({ operation: FILL, destination: 8 * PAGE, bytes: 8 });
        yield* bench.kernel.clock.sleep(1);
        expect(yield* bench.registers.read32(0x08)).toBe(RUNNING);
        yield* bench.iommu.resume(bench.iommu.seen[0]!, status);
        yield* bench.kernel.clock.sleep(1);
        expect(yield* bench.registers.read32(0x08)).toBe(outcome);
      });
    }
  });

  it('sends no PASID that is wider than it can, and none for jobs without', () => {
    const bench = new PlatformBench({ capabilities: { pasidBits: 4 } });
    bench.do(function* () {
      expect(yield* bench.job({ operation: FILL, destination: 8 * PAGE, bytes: 8, pasid: 16 })).toBe(FAILED);
      expect(yield* bench.job({ operation: FILL, destination: 8 * PAGE, bytes: 8, pasid: 15 })).toBe(DONE);
      expect(yield* bench.job({ operation: FILL | NO_PASID, destination: 8 * PAGE, bytes: 8, pasid: 15 })).toBe(DONE);
    });
    expect(bench.iommu.seen.map((tlp) => tlp.pasid)).toEqual([15, -1]);
  });

  it('shows its registers at its base address, and to processes', () => {
    const bench = new PlatformBench();
    expect(bench.bus.load32(0x0a00_0000)).toBe(0x444d4131);
    expect(bench.bus.load32(0x0a01_0000)).toBe(0x444d4131);
  });

  it('needs 128 KiB for them, and has no capabilities of PCI functions', () => {
    expect(() => new PlatformBench({ bytes: 0x1000 })).toThrow(/accelerator@a000000 has a window of 0x1000 bytes/);
    expect(() => new PlatformBench({ capabilities: { ats: true } })).toThrow(`${NAME} has no capability ats=true`);
  });
});

describe.each(['waits', 'marker'])('its PASID stop (%s), which has nothing to mark (IOPF-14)', (kind) => {
  const settings = { 'stop-kind': kind };

  it('waits for an access that is stalled', () => {
    const bench = new PlatformBench({ settings });
    bench.iommu.verdict = () => null;
    bench.do(function* () {
      yield* bench.start({ operation: FILL, destination: 8 * PAGE, bytes: 2 * PAGE });
      yield* bench.kernel.clock.sleep(1);
      yield* bench.registers.write32(0x34, 0x8000_0005);
      yield* bench.kernel.clock.sleep(1);
      expect(yield* bench.registers.read32(0x38)).toBe(5);
      yield* bench.iommu.resume(bench.iommu.seen[0]!, 'ok');
      yield* bench.registers.until32(0x38, (value) => value === 0x8000_0005, 1e9);
      expect(yield* bench.registers.read32(0x08)).toBe(STOPPED);
    });
    expect(bench.iommu.seen.length).toBe(1);
  });

  it('ends a runaway in every schedule, and nothing is outstanding or follows then', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const bench = new PlatformBench({ settings, capabilities: { pauseNs: seed % 2 === 0 ? 1000 : 0 } });
      const word = bench.kernel.footprint();
      bench.do(function* () {
        yield* bench.start({ operation: FILL | ENDLESS, destination: 8 * PAGE, bytes: 2 * PAGE });
        for (let i = 0; i < (seed % 10) * 10; i++) yield* bench.kernel.point(word, true);
        yield* bench.registers.write32(0x34, 0x8000_0005);
        yield* bench.registers.until32(0x38, (value) => value === 0x8000_0005, 1e9);
        expect([bench.engine.memory.state.access, bench.link.upLane.messages.length]).toEqual([null, 0]);
        const sent = bench.iommu.seen.length;
        yield* bench.kernel.clock.sleep(1e6);
        expect(bench.iommu.seen.length).toBe(sent);
        expect(yield* bench.registers.read32(0x08)).toBe(STOPPED);
      }, new RandomChooser(seed));
    }
  });

  it('stops requests without a PASID when it is asked to, and those alone', () => {
    const bench = new PlatformBench({ settings });
    bench.do(function* () {
      yield* bench.start({ operation: FILL | ENDLESS | NO_PASID, destination: 8 * PAGE, bytes: 8, pasid: 0 });
      yield* bench.registers.write32(0x34, 0x8000_0000);
      yield* bench.registers.until32(0x38, (value) => value === 0x8000_0000, 1e9);
      expect(yield* bench.registers.read32(0x08)).toBe(RUNNING);
      yield* bench.registers.write32(0x34, 0xc000_0000);
      yield* bench.registers.until32(0x38, (value) => value === 0xc000_0000, 1e9);
      expect(yield* bench.registers.read32(0x08)).toBe(STOPPED);
    });
  });
});
