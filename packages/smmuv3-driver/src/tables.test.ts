import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { BASE, Bench, SID } from '../test/bench.js';
import { abortStream, bypassStream, StreamTable, stageOneStream } from './index.js';

/** An entry's 64-bit words. */
function qwords(entry: Uint32Array): bigint[] {
  return Array.from({ length: 8 }, (_, i) => (BigInt(entry[2 * i + 1]!) << 32n) | BigInt(entry[2 * i]!));
}

const [STRTAB_BASE, STRTAB_BASE_CFG] = [0x80, 0x88];

describe('StreamTable (smmuv3.md 2.1)', () => {
  it('is linear where it is small: an entry of 64 bytes for each StreamID, all of them aborting', () => {
    const bench = new Bench({ capabilities: { sidBits: 8 } });
    bench.do(() => bench.driver.start());
    const { streamTable } = bench.driver.smmu;
    const base = bench.word(BASE + STRTAB_BASE) & 0xf_ffff_ffff_ffc0n;
    expect(bench.bus.load32(BASE + STRTAB_BASE_CFG)).toBe(8);
    expect(bench.word(BASE + STRTAB_BASE) >> 62n).toBe(1n); // RA
    for (const sid of [0, 1, 0x42, 255]) {
      expect(BigInt(streamTable.addressOf(sid))).toBe(base + BigInt(64 * sid));
      expect(bench.word(streamTable.addressOf(sid))).toBe(1n);
    }
  });

  it('is linear where there are no two levels, whatever its size', () => {
    const bench = new Bench({ capabilities: { stream2l: false, sidBits: 10 } });
    bench.do(() => bench.driver.start());
    expect(bench.bus.load32(BASE + STRTAB_BASE_CFG)).toBe(10);
    expect(bench.translate(-1, 0n)).toBeLessThan(1);
  });

  it('has two levels otherwise: SPLIT 8, blocks of 256 entries made when a device comes, Span 9', () => {
    const bench = new Bench({ capabilities: { sidBits: 16 } });
    bench.do(() => bench.driver.start());
    const base = Number(bench.word(BASE + STRTAB_BASE) & 0xf_ffff_ffff_ffc0n);
    expect(bench.bus.load32(BASE + STRTAB_BASE_CFG)).toBe(0x10210); // FMT 1, SPLIT 8, LOG2SIZE 16
    expect(bench.word(base + 8 * 3)).toBe(0n);
    bench.do(() => bench.driver.probeDevice(bench.makeDevice('far', [0x342], {})));
    const level1 = bench.word(base + 8 * 3);
    expect(level1 & 0x3fn).toBe(9n);
    const block = Number(level1 & ~0x3fn);
    expect(block % 0x4000).toBe(0);
    expect([0, 0x42, 0xff].map((i) => bench.word(block + 64 * i))).toEqual([1n, 1n, 1n]);
    expect(bench.driver.smmu.streamTable.addressOf(0x342)).toBe(block + 64 * 0x42);
  });

  it('publishes a block whole, in one store, after which the absence is forgotten (SMMU-1, SMMU-6)', () => {
    const bench = new Bench();
    bench.do(() => bench.driver.start());
    const { commands } = bench.driver.smmu;
    const from = commands.state.produced;
    bench.do(() => bench.driver.smmu.streamTable.reserve(0x342));
    const first = commands.state.pa + 16 * from;
    // CFGI_STE of the stream with Leaf=0, and its SYNC.
    expect([bench.word(first), bench.word(first + 8)]).toEqual([0x0000_0342_0000_0003n, 0n]);
    expect(bench.word(first + 16) & 0xffn).toBe(0x46n);
    expect(commands.state.produced - from).toBe(2);
  });

  it('lets two devices of one block come at the same time', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const bench = new Bench();
      bench.do(() => bench.driver.start());
      const { kernel, driver } = bench;
      const two = [0x301, 0x302].map((sid) => bench.makeDevice(`d${sid}`, [sid], { 'pasid-num-bits': 4 }));
      for (const device of two) kernel.spawn(device.name, () => driver.probeDevice(device));
      kernel.begin(new RandomChooser(seed));
      expect(kernel.run().end).toBe('finished');
      expect(two.map(({ streams }) => bench.word(driver.smmu.streamTable.addressOf(streams[0]!)) & 0xfn)).toEqual([
        0xbn,
        0xbn,
      ]);
    }
  });
});

describe('the images of stream table entries (SMMU-8)', () => {
  const stream = {
    contexts: 0xf0f0_f0f0_f0c0,
    contextBits: 0x1f,
    twoLevel: true,
    withoutPasid: 'ssid0',
    ats: true,
    noStall: true,
    pasidInResponses: false,
  } as const;

  it('abort and bypass', () => {
    expect(qwords(abortStream())).toEqual([1n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
    expect(qwords(bypassStream(false))).toEqual([9n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
    expect(qwords(bypassStream(true))).toEqual([9n, 0x1000_0000_0000n, 0n, 0n, 0n, 0n, 0n, 0n]);
  });

  it('a table of descriptors: format, pointer, size; write-back, inner shareable; S1STALLD and EATS', () => {
    const zeros = [0n, 0n, 0n, 0n, 0n, 0n];
    expect(qwords(stageOneStream(stream))).toEqual([0xf800_f0f0_f0f0_f0ebn, 0x1800_00d6n, ...zeros]);
    expect(qwords(stageOneStream({ ...stream, leafBits: 6 }))[0]).toBe(0xf800_f0f0_f0f0_f0dbn);
    expect(qwords(stageOneStream({ ...stream, twoLevel: false }))[0]).toBe(0xf800_f0f0_f0f0_f0cbn);
  });

  it('differs by what may stall, translate by itself, come without PASID, or live at EL2', () => {
    const second = (about: Partial<Parameters<typeof stageOneStream>[0]>): bigint =>
      qwords(stageOneStream({ ...stream, ...about }))[1]!;
    expect(second({ noStall: false })).toBe(0x1000_00d6n);
    expect(second({ ats: false })).toBe(0x0800_00d6n);
    expect(second({ withoutPasid: 'terminate' })).toBe(0x1800_00d4n);
    expect(second({ withoutPasid: 'bypass' })).toBe(0x1800_00d5n);
    expect(second({ withoutPasid: 'bypass', attributeOverride: true })).toBe(0x1000_1800_00d5n);
    expect(second({ withoutPasid: 'ssid0', attributeOverride: true })).toBe(0x1800_00d6n);
    expect(second({ el2: true })).toBe(0x9800_00d6n);
    expect(second({ pasidInResponses: true })).toBe(0x1804_00d6n);
  });
});

describe('ContextTables (smmuv3.md 2.3)', () => {
  /** Binds a process at PASID 5000 on a device with 20 bits of PASID, and says what the table looks like then. */
  function bound(settings: Record<string, string>, capabilities = {}) {
    const bench = new Bench({ settings, capabilities, properties: { 'pasid-num-bits': 20 } }).boot();
    const { driver, core } = bench;
    let [before, during, after] = [0, 0, 0];
    let level1: bigint[] = [];
    let ste = 0n;
    bench.do(function* () {
      for (let i = 1; i < 5000; i++) core.ioasid.alloc({ name: 'others' }, i, i, null);
      const { mm, va } = yield* bench.makeMm();
      before = bench.bus.frames.inUse();
      const handle = yield* driver.bind(bench.device, mm);
      during = bench.bus.frames.inUse();
      expect(handle.pasid).toBe(5000);
      expect(bench.translate(5000, va)).toBeGreaterThan(0);
      ste = bench.word(driver.smmu.streamTable.addressOf(SID));
      const table = Number(ste & 0xf_ffff_ffff_ffc0n);
      level1 = [5000 >> 6, 5000 >> 10].map((i) => bench.word(table + 8 * i));
      yield* driver.unbind(handle);
      after = bench.bus.frames.inUse();
      expect(bench.translate(5000, va)).toBe(-0x08);
      yield* core.mms.put(mm);
    });
    expect(after).toBe(before);
    return { frames: during - before, level1, ste, bench };
  }

  it('has leaves of 64 KiB, with 1024 descriptors', () => {
    const { frames, level1, ste } = bound({});
    expect((ste >> 4n) & 3n).toBe(2n);
    expect(ste >> 59n).toBe(20n);
    expect(frames).toBe(16);
    expect([level1[1]! & 0xfffn, level1[1]! % 0x10000n]).toEqual([1n, 1n]);
  });

  it('has leaves of 4 KiB, with 64 descriptors, if told so', () => {
    const { frames, level1, ste } = bound({ 'smmuv3.cd-leaf': '4K' });
    expect((ste >> 4n) & 3n).toBe(1n);
    expect(frames).toBe(1);
    expect(level1[0]! & 0xfffn).toBe(1n);
  });

  it('is linear and at most 64 KiB where there are no two levels: 10 bits of PASID', () => {
    for (const leaf of ['64K', '4K']) {
      const bench = new Bench({
        settings: { 'smmuv3.cd-leaf': leaf },
        capabilities: { cd2l: false },
        properties: { 'pasid-num-bits': 20 },
      }).boot();
      const ste = bench.word(bench.driver.smmu.streamTable.addressOf(SID));
      expect([ste >> 59n, (ste >> 4n) & 3n, (ste & 0xf_ffff_ffff_ffc0n) % 0x10000n]).toEqual([10n, 0n, 0n]);
      expect(bench.driver.smmu.masters.find(SID)!.pasidBits).toBe(10);
    }
  });

  it('makes a leaf known by one store and CFGI_CD with Leaf=0', () => {
    const { bench } = bound({});
    const { commands, masters, contexts } = bench.driver.smmu;
    const { domain } = masters.find(SID)!;
    const from = commands.state.produced;
    bench.do(() => contexts.reserve(domain!, 0x12345));
    const at = (i: number): bigint[] => {
      const pa = commands.state.pa + 16 * commands.ring.index(from + i);
      return [bench.word(pa), bench.word(pa + 8)];
    };
    // The first descriptor of the leaf: 0x12000.
    expect(at(0)).toEqual([0x0000_0042_1200_0005n, 0n]);
    expect(at(1)[0]! & 0xffn).toBe(0x46n);
    bench.do(() => contexts.release(domain!, 0x12345));
  });
});

describe('what an attach looks like in the ring (SMMU-9)', () => {
  const names: Record<number, string> = { 1: 'PREFETCH_CONFIG', 3: 'CFGI_STE', 5: 'CFGI_CD', 70: 'SYNC' };

  function ring(bench: Bench, from: number): string[] {
    const { state, ring: positions } = bench.driver.smmu.commands;
    return Array.from({ length: state.produced - from }, (_, i) => {
      const opcode = bench.bus.load32(state.pa + 16 * positions.index(from + i)) & 0xff;
      return names[opcode] ?? `0x${opcode.toString(16)}`;
    });
  }

  const twice = (name: string): string[] => [name, 'SYNC', name, 'SYNC'];

  /** A fresh stage-1 attach of descriptor 0, and the way back to abort. */
  function attach(bench: Bench): [string[], string[]] {
    const { smmu } = bench.driver;
    const seen: string[][] = [];
    bench.do(function* () {
      const { domain } = smmu.masters.find(SID)!;
      const { contexts, streamTable, commands, sharedContexts } = smmu;
      const { mm } = yield* bench.makeMm();
      const context = yield* sharedContexts.get(mm);
      const live = sharedContexts.live(context, domain!);
      yield* streamTable.write(SID, abortStream());
      const image = { contexts: domain!.contexts.pa, contextBits: 8, twoLevel: false, withoutPasid: 'ssid0' } as const;
      const to = stageOneStream({ ...image, ats: false, noStall: false, pasidInResponses: false });
      const noted = function* (body: () => Coroutine<void>): Coroutine<void> {
        const from = commands.state.produced;
        yield* body();
        seen.push(ring(bench, from));
      };
      yield* noted(function* () {
        yield* contexts.write(domain!, 0, live);
        yield* streamTable.write(SID, to);
      });
      yield* noted(function* () {
        yield* streamTable.write(SID, abortStream());
        yield* contexts.clear(domain!, 0);
      });
      yield* sharedContexts.put(context);
      yield* bench.core.mms.put(mm);
    });
    return seen as [string[], string[]];
  }

  it('is 2 × (CFGI_CD, SYNC), 2 × (CFGI_STE, SYNC), PREFETCH_CONFIG; and back the other way round', () => {
    expect(attach(new Bench().boot())).toEqual([
      [...twice('CFGI_CD'), ...twice('CFGI_STE'), 'PREFETCH_CONFIG'],
      [...twice('CFGI_STE'), 'PREFETCH_CONFIG', ...twice('CFGI_CD')],
    ]);
  });

  it('has no PREFETCH_CONFIG where firmware says that it is broken', () => {
    class Broken extends StreamTable {
      override prefetchIsBroken(): boolean {
        return true;
      }
    }
    const [there, back] = attach(new Bench({ parts: { StreamTable: Broken } }).boot());
    expect([...there, ...back]).not.toContain('PREFETCH_CONFIG');
    const bench = new Bench();
    const quirk = { property: (key: string) => (key === 'hisilicon,broken-prefetch-cmd' ? true : null) };
    Object.assign(bench.driver.smmu.device, quirk);
    expect(bench.driver.smmu.streamTable.prefetchIsBroken()).toBe(true);
  });
});
