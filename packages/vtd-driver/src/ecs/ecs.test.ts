import { PERM } from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions, codeOf, SID } from '../../test/bench.js';
import { CAP, ECAP } from '../../test/fake-unit.js';
import { RequestRing } from '../../test/request-ring.js';
import { vtdParts } from '../parts.js';
import { EcsPasidTables } from './pasid-tables.js';

const [ECS, DIS, SMTS] = [1n << 24n, 1n << 27n, 1n << 43n];
const PSS = 0x1fn << 35n;
const CM = 1n << 7n;
/** The unit of 2016: extended-context mode, no scalable mode. */
const OLD = (ECAP & ~SMTS) | ECS;
const RW = PERM.READ | PERM.WRITE;

function extended(options: BenchOptions = {}): Bench {
  const settings = { 'vtd.mode': 'ecs', ...options.settings };
  return new Bench({ ecap: OLD, ...options, settings });
}

/** The words of the device's context entry. */
function context(bench: Bench): bigint[] {
  const at = bench.driver.vtd.contexts.addressOf(SID);
  return [0, 8, 16, 24].map((offset) => bench.unit.word(at + offset));
}

const tables = (bench: Bench): EcsPasidTables => bench.driver.vtd.pasids as EcsPasidTables;

describe('the tables of the extended-context mode (VTD-44, SVA-21, L29)', () => {
  it('are one for the unit, of 0x20000 entries and 1 MiB at most', () => {
    const bench = extended();
    bench.do(() => bench.start());
    const { table, states } = tables(bench).shared;
    expect([tables(bench).entries(), tables(bench).tableBytes(), states]).toEqual([0x20000, 0x10_0000, 0]);
    expect(bench.bus.frames.ownerOf(table / 4096 + 255)).toBe('dmar0 ECS PASID table');
    expect(bench.bus.frames.ownerOf(table / 4096 + 256)).not.toBe('dmar0 ECS PASID table');
    // PTS 12: 2^17 PASIDs. A device that could send 20 bits has 17.
    expect(context(bench)[2]).toBe(BigInt(table) | 12n);
    expect(bench.driver.vtd.masters.of(bench.device).pasidBits).toBe(17);
  });

  it('are as small as the unit has PASIDs (PSS), with states where invalidations are deferred (DIS)', () => {
    const bench = extended({ ecap: (OLD & ~PSS) | (11n << 35n) | DIS });
    bench.do(() => bench.start());
    const { table, states } = tables(bench).shared;
    expect(tables(bench).entries()).toBe(4096);
    // P, TT 1, DINVE, PRE, PASIDE; AW 2, DID 1; PTS 7.
    expect(context(bench).slice(1)).toEqual([0x0102n, BigInt(table) | 7n, BigInt(states)]);
    expect(context(bench)[0]! & 0xfffn).toBe(0xb05n);
    expect(bench.bus.frames.ownerOf(states / 4096)).toBe('dmar0 ECS PASID-state table');
  });

  it('go with the last device, whole', () => {
    const bench = extended({ ecap: OLD | DIS });
    bench.do(() => bench.driver.start());
    const before = bench.inUse();
    const others: unknown[] = [];
    bench.do(function* () {
      yield* bench.driver.probeDevice(bench.device);
      const other = bench.pciDevice('0000:00:04.0', 0x20);
      bench.makeFunction(0x20);
      yield* bench.driver.probeDevice(other);
      yield* bench.driver.releaseDevice(bench.device);
      others.push(tables(bench).shared.users);
      yield* bench.driver.releaseDevice(other);
    });
    expect(others).toEqual([1]);
    // The context table of the bus stays.
    expect(bench.inUse()).toEqual({ ...before, frames: before.frames! + 1 });
  });

  const broken = (Part: typeof EcsPasidTables): NonNullable<BenchOptions['parts']> => ({
    ecs: { ...vtdParts.ecs, PasidTables: Part },
  });

  it('cannot be had when their order is three too high (pasid-table-order-off)', () => {
    class Off extends EcsPasidTables {
      override tableBytes(): number {
        return super.tableBytes() * 8;
      }
    }
    const probe = (Part: typeof EcsPasidTables): string => {
      const bench = extended({ parts: broken(Part) });
      const { frames } = bench.bus;
      const { alloc } = frames;
      frames.alloc = (owner, order = 0) => {
        if (order > 10) throw new IommuError('ENOMEM', `${owner}: nothing above 4 MiB is contiguous`);
        return alloc.call(frames, owner, order);
      };
      let code = '';
      bench.do(function* () {
        yield* bench.driver.start();
        code = yield* codeOf(bench.driver.probeDevice(bench.device));
      });
      return code;
    };
    expect([probe(EcsPasidTables), probe(Off)]).toEqual(['none', 'ENOMEM']);
  });

  it('leave something behind when they are not freed as they were allocated (pasid-table-free-order)', () => {
    class Other extends EcsPasidTables {
      override freedBytes(allocated: number): number {
        return allocated / 2;
      }
    }
    const bench = extended({ parts: broken(Other) });
    const outcome = bench.run(function* () {
      yield* bench.driver.start();
      yield* bench.driver.probeDevice(bench.device);
      yield* bench.driver.releaseDevice(bench.device);
    });
    expect(outcome).toMatchObject({ end: 'violation', violation: { invariant: 'INV-9' } });
  });
});

describe('entries of the extended-context mode', () => {
  it('tell the root table type, and come fields first, then P, then a flush (VTD-45)', () => {
    const bench = extended();
    bench.do(function* () {
      yield* bench.driver.start();
      yield* bench.driver.probeDevice(bench.device);
    });
    // RTT.
    expect(bench.unit.get(0x20) & 0xc00).toBe(0x800);
    const at = bench.driver.vtd.contexts.addressOf(SID).toString(16);
    const log = bench.unit.take(new RegExp(`^q|^s ${at} `));
    expect(log.at(-1)).toBe('q 1800010031 0');
    expect(log.at(-2)!.startsWith(`s ${at} `)).toBe(true);
  });

  it('are 8 bytes: P and the table; FLPM with 5 levels, SRE for the kernel (vtd.md 2.5)', () => {
    const bench = extended().boot();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(bench.unit.word(bench.entryAt(handle.pasid))).toBe(BigInt(mm.pgd) | 1n);
      // Without caching mode nothing is flushed (VTD-46).
      expect(bench.unit.take()).toEqual([]);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
      const supervisor = yield* bench.driver.bindSupervisor(bench.device);
      const { pgd } = bench.driver.vtd.kernelTables.state;
      expect(bench.unit.word(bench.entryAt(supervisor.pasid))).toBe(BigInt(pgd) | 0x801n);
      yield* bench.driver.unbindSupervisor(supervisor);
    });
    expect(Number(tables(bench).imageOf({ pgd: 0x12345000, levels: 5 })[0])).toBe(0x12345201);
  });

  it('are flushed from the PASID cache in caching mode (VTD-46)', () => {
    const bench = extended({ cap: CAP | CM }).boot();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(bench.unit.take()[0]).toBe('q 100010017 0');
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('leave by entry, PASID cache, IOTLB (G 2), device TLB; then requests are drained (VTD-17, VTD-19)', () => {
    const bench = extended().boot();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      bench.unit.log.length = 0;
      const at = bench.entryAt(handle.pasid).toString(16);
      yield* bench.driver.unbind(handle);
      const log = bench.unit.take(new RegExp(`^q|^s ${at} `)).slice(0, 4);
      expect(log).toEqual([`s ${at} 0`, 'q 100010017 0', 'q 100010026 0', 'q 100180008 7ffffffffffff800']);
      yield* bench.core.mms.put(mm);
    });
  });

  it('stay while another device uses the address space (SVA-19, VTD-43)', () => {
    const bench = extended().boot();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const other = yield* bench.plug('0000:00:04.0', 0x20);
      const first = yield* bench.driver.bind(bench.device, mm);
      const second = yield* bench.driver.bind(other, mm);
      const { pasid } = first;
      yield* bench.driver.unbind(first);
      expect(bench.unit.word(bench.entryAt(pasid))).toBe(BigInt(mm.pgd) | 1n);
      yield* bench.driver.unbind(second);
      expect(bench.unit.word(tables(bench).shared.table + pasid * 8)).toBe(0n);
      yield* bench.core.mms.put(mm);
    });
  });

  it('are dropped by the page for each domain that devices are in, and by GL for the kernel (VTD-47)', () => {
    const bench = extended().boot();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      bench.unit.log.length = 0;
      yield* bench.core.mms.munmap(mm, va, 4096);
      const page = va.toString(16);
      expect(bench.unit.take()[0]).toBe(`q 100010036 ${page}`);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
      const supervisor = yield* bench.driver.bindSupervisor(bench.device);
      bench.unit.log.length = 0;
      yield* bench.driver.vtd.supervisor.flush(0xffff_8880_4000_0000n, 4096);
      expect(bench.unit.take()[0]).toBe('q 100010036 ffff888040000080');
      yield* bench.driver.unbindSupervisor(supervisor);
      // G 0: all PASIDs, global pages too.
      expect(bench.unit.take().find((line) => /^q \d*6 /.test(line))).toBe('q 10006 0');
    });
  });

  it('are invalidated later where nothing uses the PASID: one atomic step, and no descriptor (VTD-48)', () => {
    const bench = extended({ ecap: OLD | DIS, settings: { 'mn.duplicate': 'off' } }).boot();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      const state = tables(bench).shared.states + handle.pasid * 8;
      bench.unit.log.length = 0;
      yield* bench.core.mms.munmap(mm, va, 4096);
      // The device's own TLB is told all the same.
      expect(bench.unit.take()).toEqual([`q 100180008 ${va.toString(16)}`]);
      expect(bench.unit.word(state)).toBe(1n << 63n);
      // References are active: flush.
      bench.bus.store64(state, 0, 1);
      yield* bench.core.mms.mmap(mm, 4096, RW);
      expect(tables(bench).defer(handle.pasid)).toBe(false);
      bench.bus.store64(state, 0, 0);
      expect(tables(bench).defer(handle.pasid)).toBe(true);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });
});

describe('DMA domains of the extended-context mode', () => {
  it('are the second stage of the context entry, which maps nothing outside of them (vtd.md 2.4, VTD-51)', () => {
    const bench = extended();
    bench.do(function* () {
      const { driver, device } = bench;
      yield* driver.start();
      yield* driver.probeDevice(device);
      const nothing = context(bench)[0]! & ~0xfffn;
      expect(bench.bus.frames.ownerOf(Number(nothing) / 4096)).toBe('dmar0 page table');
      expect(context(bench)[1]).toBe(0x0102n);
      const domain = yield* driver.allocDomain(device);
      bench.unit.log.length = 0;
      yield* driver.attach(device, domain);
      expect(bench.unit.take()).toEqual([
        'q 1800010031 0',
        'q 100e2 0',
        'q 1800000003 7ffffffffffff001',
        'q 1800020031 0',
      ]);
      expect(context(bench)[1]).toBe(0x0202n);
      yield* driver.map(domain, 0x1000n, 0x4000_0000, 4096, RW);
      yield* driver.unmap(domain, 0x1000n, 4096);
      expect(bench.unit.take()[0]).toBe('q 200f2 1040');
      yield* driver.detach(device);
      expect(context(bench)).toEqual([nothing | 0xa05n, 0x0102n, context(bench)[2]!, 0n]);
      yield* driver.freeDomain(domain);
    });
  });
});

describe('page requests of the extended-context mode', () => {
  it('have 16 bytes, and answers of their own (vtd.md 4.2, 3.10, 3.11, 9.1)', () => {
    const bench = extended();
    const words = (qw0: bigint, qw1: bigint): Uint32Array =>
      Uint32Array.from([qw0, qw0 >> 32n, qw1, qw1 >> 32n], (word) => Number(word & 0xffff_ffffn));
    const { pageRequests } = bench.driver.vtd;
    bench.do(function* () {
      yield* bench.driver.start();
      expect(bench.driver.vtd.pageRequests.entries).toBe(2048);
      // PQS 3: 32 KiB.
      expect(bench.unit.get(0xd0) & 7).toBe(3);
      const request = pageRequests.read(words(0x0380_0000_0100_005cn, 0x0000_7f00_0000_1003n));
      expect(request).toMatchObject({ rid: 0x100, pasid: 5, group: 7, page: 0x7f0_0000_01, perm: 3, last: true });
      bench.unit.log.length = 0;
      yield* pageRequests.answer(request, 1);
      yield* pageRequests.answer({ ...request, last: false, single: true }, 0);
      expect(bench.unit.take()).toEqual(['q 501000019 380000000000001', 'q 38000000100005a 7f0000001000']);
    });
  });

  function* asked(bench: Bench, ring: RequestRing, ...given: Parameters<RequestRing['ask']>[0][]): Coroutine<string[]> {
    bench.unit.log.length = 0;
    for (const one of given) ring.ask(one);
    yield* bench.kernel.clock.sleep(1000);
    return bench.unit.take();
  }

  it('are handled by the thread, groups by their last, streams each, with private data (IOPF-29, IOPF-30, VTD-39)', () => {
    const bench = extended().boot();
    const ring = new RequestRing(bench, true);
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      const told: number[] = [];
      bench.driver.onPageRequest(bench.device, function* ({ rights, result }) {
        told.push(rights, result);
      });
      expect(yield* asked(bench, ring, { pasid: 1, address: va, data: 0x7ffffen })).toEqual([
        'q 100180019 3fffffe00000000',
      ]);
      expect(yield* asked(bench, ring, { pasid: 1, address: va, last: false })).toEqual([]);
      const stream = yield* asked(bench, ring, { pasid: 1, address: va, last: false, stream: true, data: 3n });
      expect(stream).toEqual([`q 38000030000001a ${(va | 0x180n).toString(16)}`]);
      expect(yield* asked(bench, ring, { pasid: 1, address: 0x1000n, group: 9 })).toEqual([
        'q 100180019 480000000000001',
      ]);
      expect(told).toEqual([4, 0, 4, 0, 4, 0, 4, 1]);
      bench.driver.onPageRequest(bench.device, null);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('are answered FAILURE where kernels of the time did: unknown or no PASID, privileged, execute (D-6, L20)', () => {
    const bench = extended().boot();
    const ring = new RequestRing(bench, true);
    bench.do(function* () {
      const failure = ['q 500180019 38000000000000f'];
      expect(yield* asked(bench, ring, {})).toEqual(failure);
      expect(yield* asked(bench, ring, { priv: true })).toEqual(failure);
      expect(yield* asked(bench, ring, { exec: true, read: true })).toEqual(failure);
      expect(yield* asked(bench, ring, { pasid: -1 })).toEqual(['q 180009 38000000000000f']);
      expect(yield* asked(bench, ring, { address: 0x8000_0000_0000n })).toEqual(['q 500180019 380000000000001']);
      expect(yield* asked(bench, ring, { write: false })).toEqual([]);
    });
  });

  it('overflow in FSTS, which the page request thread clears (vtd.md 1.8, IOPF-15)', () => {
    const bench = extended({ settings: { 'vtd.prq-entries': 256, 'vtd.pri-credits': 16 } }).boot();
    const ring = new RequestRing(bench, true);
    const clear = bench.unit.clearStatus.bind(bench.unit);
    // The fake knows the bits of scalable mode.
    bench.unit.clearStatus = (value) => {
      bench.unit.registers.set(0x34, bench.unit.get(0x34) & ~(value & 0x80));
      clear(value);
    };
    bench.do(function* () {
      const lock = yield* bench.driver.vtd.masters.lock.acquire();
      for (let i = 0; i < 300; i++) ring.ask({ group: i });
      yield* bench.kernel.clock.sleep(1000);
      lock.release();
      yield* bench.kernel.clock.sleep(1000);
    });
    expect(ring.lost).toBe(300 - 255);
    expect(ring.overflowed).toBe(false);
    expect(bench.driver.vtd.pageRequests.state.overflows).toBe(1);
  });

  it('need a unit that has the mode (ECAP.ECS)', () => {
    const bench = new Bench({ settings: { 'vtd.mode': 'ecs' } });
    bench.do(function* () {
      expect(yield* codeOf(bench.driver.start())).toBe('ENODEV');
    });
  });
});
