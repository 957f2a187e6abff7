import { type Mm, PERM } from '@iommukit/core';
import type { Coroutine, Setting } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, SID } from '../test/bench.js';
import { SharedContexts } from './index.js';

const capabilities = { vax: 52, ds: true, oas: 52 };

/** The first words of the descriptor at PASID 1. */
function descriptor(bench: Bench): [bigint, bigint, bigint] {
  const { smmu } = bench.driver;
  const cd = smmu.contexts.addressOf(smmu.masters.find(SID)!.domain!.contexts, 1);
  return [bench.word(cd), bench.word(cd + 8), bench.word(cd + 16)];
}

/** Binds a process with some pages, each written to. */
function* bound(bench: Bench, bytes: number): Coroutine<{ mm: Mm; va: bigint; handle: { pasid: number } }> {
  const { core } = bench;
  const mm = core.mms.create();
  const va = yield* core.mms.mmap(mm, bytes, PERM.READ | PERM.WRITE);
  yield* core.cpu.fill(mm, va, bytes, () => 7);
  return { mm, va, handle: yield* bench.driver.bind(bench.device, mm) };
}

describe("a process's tables, walked by the SMMU", () => {
  it.each([
    ['4K', '48'],
    ['16K', '48'],
    ['64K', '48'],
    ['64K', '52'],
    ['4K', '52'],
    ['16K', '52'],
  ] as const)('work with pages of %s and addresses of %s bits, from bind to munmap (SMMU-9, TLB-8)', (page, bits) => {
    const settings = { 'cpu-page': page, 'va-bits': bits };
    const bench = new Bench({ capabilities, settings }).boot();
    bench.do(function* () {
      const { mm, va, handle } = yield* bound(bench, 3 * 65536);
      const frames = [0n, 0x1000n, 0x10000n, 0x2f000n].map((offset) => bench.translate(1, va + offset));
      for (const frame of frames) expect(frame).toBeGreaterThan(0);
      expect(frames[1]).toBe(frames[0]! + (page === '4K' ? frames[1]! - frames[0]! : 1));
      yield* bench.core.mms.munmap(mm, va + 0x10000n, 0x10000);
      for (const offset of [0x10000n, 0x1f000n]) expect(bench.translate(1, va + offset)).toBe(-0x10);
      for (const offset of [0n, 0x2f000n]) expect(bench.translate(1, va + offset)).toBeGreaterThan(0);
      yield* bench.driver.unbind(handle as never);
      yield* bench.core.mms.put(mm);
    });
  });

  it('invalidate whole pages of the CPU, one command for each (MN-17)', () => {
    const bench = new Bench({ settings: { 'cpu-page': '64K' } }).boot();
    bench.do(function* () {
      const { mm, va } = yield* bound(bench, 2 * 65536);
      const { commands } = bench.driver.smmu;
      const before = commands.state.produced;
      yield* bench.driver.smmu.invalidation.tlbRange(9, { first: Number(va >> 12n), last: Number(va >> 12n) + 31 });
      // Two pages and the SYNC.
      expect(commands.state.produced - before).toBe(3);
      yield* bench.driver.unbind([...bench.driver.smmu.masters.find(SID)!.bonds.values()][0]!);
      yield* bench.core.mms.put(mm);
    });
  });
});

describe('flag updates by the SMMU (SMMU-18, PF-10)', () => {
  const rows: [string, Readonly<Record<string, Setting>>, Readonly<Record<string, Setting>>, number][] = [
    ['asks for both', { 'hw-af-dirty': 'on' }, {}, 3],
    ['asks for what the SMMU has', { 'hw-af-dirty': 'on' }, { httu: 'access' }, 2],
    ['does without where tables are not made for it', {}, { httu: 'dirty' }, 0],
    ['does without when told so', { 'hw-af-dirty': 'on', 'smmuv3.httu': 'off' }, {}, 0],
  ];
  it.each(rows)('%s: HA and HD', (_, settings, given, bits) => {
    const overlay = 'httu' in given && settings['hw-af-dirty'] === 'on';
    const bench = new Bench({
      settings: overlay ? {} : settings,
      capabilities: given,
      cpu: overlay ? { httu: 'dirty' } : {},
    }).boot();
    bench.do(function* () {
      const { mm, handle } = yield* bound(bench, 4096);
      const [dw0] = descriptor(bench);
      expect(Number((dw0 >> 43n) & 1n) * 2 + Number((dw0 >> 42n) & 1n)).toBe(bits);
      yield* bench.driver.unbind(handle as never);
      yield* bench.core.mms.put(mm);
    });
  });
});

describe('the descriptor of a process that died (SVA-10)', () => {
  // Bits 44 (S) and 45 (R) of the first word.
  const stallBits = (bench: Bench): number => Number((descriptor(bench)[0] >> 44n) & 3n);
  it.each([
    ['keeps S and R', 's3', 'optional', 3],
    ['keeps S and R where stalls are forced', 's3', 'forced', 3],
    ['loses both in the later form', 'later', 'optional', 0],
    ['keeps both in the later form where stalls are forced', 'later', 'forced', 3],
  ] as const)('%s', (_, form, model, bits) => {
    const settings = { 'quiesce-form': form, 'stall-model': model };
    const bench = new Bench({ settings }).boot();
    bench.do(function* () {
      const { mm, va, handle } = yield* bound(bench, 4096);
      yield* bench.core.mms.put(mm);
      expect(stallBits(bench)).toBe(bits);
      expect(descriptor(bench)[0] & (1n << 31n)).toBe(1n << 31n);
      expect(bench.translate(1, va)).toBe(-0x10);
      yield* bench.driver.unbind(handle as never);
    });
  });

  it('is illegal if it loses S where stalls are forced (broken SVA-10, L16)', () => {
    class ClearsAlways extends SharedContexts {
      override clearsStallBits(): boolean {
        return true;
      }
    }
    const bench = new Bench({ settings: { 'stall-model': 'forced' }, parts: { SharedContexts: ClearsAlways } }).boot();
    bench.do(function* () {
      const { mm, va, handle } = yield* bound(bench, 4096);
      yield* bench.core.mms.put(mm);
      expect(bench.translate(1, va)).toBe(-0x0a);
      yield* bench.driver.unbind(handle as never);
    });
  });
});
