import { PERM } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions } from '../test/bench.js';
import { type Asked, RequestRing, scalableRequest } from '../test/request-ring.js';
import { PageRequests, type Pointers } from './index.js';

/** A booted bench whose device asks. */
function booted(options: BenchOptions = {}): { bench: Bench; ring: RequestRing } {
  const bench = new Bench({ levels: 4, ...options }).boot();
  return { bench, ring: new RequestRing(bench) };
}

/** What the unit is told after some requests. */
function answers(given: readonly Asked[], options: BenchOptions = {}): string[] {
  const { bench, ring } = booted(options);
  bench.do(function* () {
    for (const asked of given) ring.ask(asked);
  });
  return bench.unit.take();
}

describe('PageRequests', () => {
  it('tells the hardware where the empty ring is, and unmasks its event (vtd.md 1.10)', () => {
    const bench = new Bench();
    bench.do(() => bench.start());
    const writes = bench.unit.take(/^w (c0|c8|d0|e[048c])=/);
    const pa = bench.driver.vtd.pageRequests.state.pa;
    // 2048 requests of 32 bytes: PQS 4. Address before the mask.
    expect(writes).toEqual([
      'w c0=0',
      'w c8=0',
      `w d0=${(pa + 4).toString(16)}`,
      'w e4=21',
      'w e8=fee00000',
      'w ec=0',
      'w e0=0',
    ]);
    expect(bench.driver.vtd.pageRequests.entries).toBe(2048);
  });

  it('reads literally what the sheet wrote (vtd.md 9.1)', () => {
    const { bench } = booted();
    const words = (qw0: bigint, qw1: bigint): Uint32Array =>
      Uint32Array.from([qw0, qw0 >> 32n, qw1, qw1 >> 32n, 0n, 0n, 0n, 0n], (word) => Number(word & 0xffff_ffffn));
    const { pageRequests } = bench.driver.vtd;
    const request = pageRequests.read(words(0x0000_0005_0100_0101n, 0x0000_7f00_0000_103fn));
    expect(request).toMatchObject({ rid: 0x100, pasid: 5, group: 7, page: 0x7f0_0000_01, perm: 3, last: true });
    const marker = pageRequests.read(words(0x0000_0005_0100_0101n, 0x3cn));
    expect([pageRequests.isStopMarker(request), pageRequests.isStopMarker(marker)]).toEqual([false, true]);
    expect(scalableRequest({ rid: 0x100, read: true })).toEqual([
      0x0000_0005_0100_0101n,
      0x0000_7f00_0000_103fn,
      0n,
      0n,
    ]);
  });

  it('answers when the page is there, in the words of the sheet (vtd.md 9.1, VTD-37, VTD-39, IOPF-6)', () => {
    const { bench, ring } = booted();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(handle.pasid).toBe(1);
      ring.ask({ pasid: 1, address: va });
      yield* bench.kernel.clock.sleep(1000);
      expect(bench.unit.take()).toEqual(['q 100180019 38 0 0']);
      ring.ask({ pasid: 1, address: 0x1000n, group: 8 });
      yield* bench.kernel.clock.sleep(1000);
      expect(bench.unit.take()).toEqual(['q 100181019 40 0 0']);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('answers last requests only, and stop markers never (IOPF-6, IOPF-13, VTD-39)', () => {
    expect(answers([{ last: false }, { write: false }])).toEqual([]);
  });

  it('refuses what no mm is asked about before it looks for stop markers (PF-9, VTD-35, VTD-38)', () => {
    const refused = [`q 500181019 38 0 0`];
    const bad: Asked[] = [
      { address: 0x0000_8000_0000_0000n },
      { address: 0xffff_7fff_ffff_f000n },
      { priv: true },
      { priv: true, write: false, read: true },
      { exec: true, read: true },
      { address: 0x0000_8000_0000_0000n, write: false },
    ];
    for (const asked of bad) {
      expect(answers([asked])).toEqual(refused);
      expect(answers([{ ...asked, last: false }])).toEqual([]);
    }
  });

  it('takes an address of 57 bits for canonical where tables have 5 levels (VTD-35)', () => {
    const cap = { cap: 0x11d2_018c_222f_0606n, levels: 5 as const };
    const { bench, ring } = booted(cap);
    bench.do(function* () {
      ring.ask({ address: 0x00ff_ffff_ffff_f000n });
      ring.ask({ address: 0x0100_0000_0000_0000n });
    });
    const texts = bench.trace.filter((line) => line.startsWith('vtd_page_request'));
    expect(texts).toEqual([
      'vtd_page_request: IOMMU: dmar0: Address is not canonical; dmar0: Invalid page request: 500180101 10000000000003e',
    ]);
  });

  it('widens the 52-bit page number before it is shifted (PF-8, VTD-34)', () => {
    const { bench, ring } = booted();
    bench.do(function* () {
      ring.ask({ address: 0xffff_ffff_ffff_f000n });
      ring.ask({ address: 0x7fff_b9d1_5000n });
    });
    const faults = bench.trace.filter((line) => line.startsWith('dev_fault')).map((line) => /addr=\S+/.exec(line)![0]);
    expect(faults).toEqual(['addr=0xffffffffffffffff'.replace(/fff$/, '000'), 'addr=0x00007fffb9d15000']);
  });

  it('answers requesters that nobody knows, unknown PASIDs, and requests without one (IOPF-9, IOPF-24, VTD-37)', () => {
    expect(answers([{ rid: 0x1234 }, { rid: 0x1234, last: false }])).toEqual(['q 512341019 38 0 0']);
    expect(answers([{ pasid: 77 }])).toEqual(['q 4d00181019 38 0 0']);
    expect(answers([{ pasid: -1 }])).toEqual(['q 181009 38 0 0']);
  });

  it('answers devices whose requests nobody handles (IOPF-9)', () => {
    const bench = new Bench();
    bench.do(function* () {
      yield* bench.driver.start();
      yield* bench.driver.probeDevice(bench.device);
      bench.unit.log.length = 0;
      new RequestRing(bench).ask();
    });
    expect(bench.unit.take()).toEqual(['q 500181019 38 0 0']);
  });

  it('answers what brought private data, the last or not, and echoes it (IOPF-30, VTD-39)', () => {
    const data = 0x1111_2222_3333_4444_5555_6666_7777_8888n;
    expect(
      answers([
        { data, last: false },
        { data, group: 8 },
      ]).sort(),
    ).toEqual(['q 500181039 38 5555666677778888 1111222233334444', 'q 500181039 44 5555666677778888 1111222233334444']);
    expect(answers([{ data, rid: 0x20, last: false }])).toEqual(['q 500201039 38 5555666677778888 1111222233334444']);
  });

  it('finds the right device, and holds it while it reports (IOPF-25, IOPF-26)', () => {
    const { bench, ring } = booted();
    bench.do(function* () {
      yield* bench.plug('0000:00:04.0', 0x20);
      bench.unit.log.length = 0;
      ring.ask({ rid: 0x20 });
      yield* bench.kernel.clock.sleep(1000);
    });
    expect(bench.trace.filter((line) => line.startsWith('dev_fault'))[0]).toContain('IOMMU:0000:00:04.0');
    expect(bench.unit.take()).toEqual(['q 500201019 38 0 0']);
    expect(bench.driver.vtd.masters.find(0x20)!.refs).toBe(1);
  });

  it('answers FAILURE with 0xf (vtd.md 4.3, D-5)', () => {
    const { bench } = booted();
    bench.do(() => bench.driver.respond(bench.device, { pasid: 5, group: 7, code: 2 }));
    expect(bench.unit.take()).toEqual([`q 50018f019 38 0 0`]);
  });

  it('says what it reports and refuses as the kernel does (vtd.md 7.4, 7.5)', () => {
    const { bench, ring } = booted();
    bench.do(function* () {
      ring.ask({ read: true });
      ring.ask({ exec: true, read: true, write: false });
      ring.ask({ priv: true, data: 0x1_0000_0000_0000_0002n });
      ring.ask({ data: 0x3_0000_0000_0000_0002n, last: false });
      ring.ask({ rid: 0x1234 });
    });
    const own = bench.trace.filter((line) => /^(prq_report|vtd_page_request)/.test(line));
    expect(own).toEqual([
      'prq_report: dmar0/0000:00:03.0 seq# 0: rid=0x18 addr=0x7f0000001 rw--l pasid=0x5 index=0x7',
      'vtd_page_request: IOMMU: dmar0: Execution request not supported; dmar0: Invalid page request: 10000500180101 7f000000103d',
      'vtd_page_request: IOMMU: dmar0: Page request in Privilege Mode; dmar0: Invalid page request: 20000500180301 7f000000103e',
      'prq_report: dmar0/0000:00:03.0 seq# 1: rid=0x18 addr=0x7f0000001 -w--- pasid=0x5 index=0x7 private=0x2/0x3',
      'vtd_page_request: dmar0: Invalid page request: 512340101 7f000000103e',
    ]);
  });
});

describe('the interrupt thread (VTD-31, VTD-32, IOPF-22)', () => {
  it('clears PPR, reads the tail, and gives the slots back when it is through', () => {
    const { bench, ring } = booted();
    bench.do(function* () {
      ring.ask();
      ring.ask({ group: 8 });
    });
    expect(bench.unit.take(/^w (dc|c0)=/)).toEqual(['w dc=1', 'w c0=40']);
    expect([ring.head, ring.tail]).toEqual([64, 64]);
  });

  it('goes around the end of the ring', () => {
    const { bench, ring } = booted({ settings: { 'vtd.prq-entries': 128 } });
    for (let i = 0; i < 300; i += 20) {
      bench.do(function* () {
        for (let j = 0; j < 20; j++) ring.ask({ group: i + j });
      });
    }
    expect(bench.unit.take().filter((line) => line.startsWith('q 500181019')).length).toBe(300);
    expect(ring.lost).toBe(0);
  });

  /** Two requests, the second of which comes when the thread has read the tail: how many are handled? */
  function late(Broken: typeof PageRequests): number {
    class Late extends Broken {
      override *readPointers(): Coroutine<Pointers> {
        const pointers = yield* super.readPointers();
        if (this.state.worker !== null && this.state.sequence === 0 && pointers.tail === 32) ring.ask({ group: 8 });
        return pointers;
      }
    }
    const { bench, ring } = booted({ parts: { PageRequests: Late } });
    bench.do(function* () {
      ring.ask();
    });
    return bench.unit.take().length;
  }

  it('loses no request that comes between the clear and the end', () => {
    expect(late(PageRequests)).toBe(2);
  });

  it('loses one when it clears after it reads (ppr-cleared-late)', () => {
    class Late extends PageRequests {
      override *takeSnapshot(): Coroutine<Pointers> {
        const pointers = yield* this.readPointers();
        yield* this.clearPending();
        return pointers;
      }
    }
    expect(late(Late)).toBe(1);
  });

  it('is called once in a lifetime when it does not clear (ppr-not-cleared)', () => {
    class Never extends PageRequests {
      override *takeSnapshot(): Coroutine<Pointers> {
        return yield* this.readPointers();
      }
    }
    const { bench, ring } = booted({ parts: { PageRequests: Never } });
    for (let i = 0; i < 3; i++) {
      bench.do(function* () {
        ring.ask({ group: i });
      });
    }
    expect(bench.unit.take().length).toBe(1);
  });
});

describe('an overflow of the page request queue (VTD-33, IOPF-15)', () => {
  const settings = { 'vtd.prq-entries': 128, 'vtd.pri-credits': 16 };

  /** More requests than there is room for, while the thread cannot go on; a group of which one request came before. */
  function flood(Broken: typeof PageRequests): { bench: Bench; ring: RequestRing; log: string[] } {
    const { bench, ring } = booted({ settings, parts: { PageRequests: Broken } });
    bench.do(function* () {
      ring.ask({ group: 500, last: false });
      yield* bench.kernel.clock.sleep(1000);
      const lock = yield* bench.driver.vtd.masters.lock.acquire();
      for (let i = 0; i < 200; i++) ring.ask({ group: i });
      yield* bench.kernel.clock.sleep(1000);
      lock.release();
      yield* bench.kernel.clock.sleep(1000);
      ring.ask({ group: 300 });
      yield* bench.kernel.clock.sleep(1000);
    });
    return { bench, ring, log: bench.trace.filter((line) => /^(vtd_prq_overflow|iopf_discard)/.test(line)) };
  }

  it('drops incomplete groups, and is cleared once the ring is empty', () => {
    const { bench, ring, log } = flood(PageRequests);
    expect(ring.lost).toBe(200 - 127);
    expect(ring.overflowed).toBe(false);
    expect(log.at(-2)).toBe('iopf_discard: dev=0000:00:03.0 pages=1');
    expect(log.at(-1)).toBe('vtd_prq_overflow: IOMMU: dmar0: PRQ overflow cleared');
    expect(log[0]).toBe('vtd_prq_overflow: IOMMU: dmar0: PRQ overflow detected');
    expect(bench.core.faults.byDevice.get(bench.device)!.partial).toEqual([]);
    expect(bench.unit.take().filter((line) => line.startsWith('q 500181019')).length).toBe(128);
    expect(bench.driver.vtd.pageRequests.state.overflows).toBe(1);
  });

  it('silences the device for good when nobody clears it (pro-not-cleared)', () => {
    class Silent extends PageRequests {
      override *recover(): Coroutine<void> {}
    }
    const { bench, ring } = flood(Silent);
    expect(ring.overflowed).toBe(true);
    expect(bench.unit.take().filter((line) => line.startsWith('q 500181019')).length).toBe(127);
  });

  it('keeps incomplete groups when it is cleared early (pro-cleared-early)', () => {
    class Early extends PageRequests {
      override *recover(): Coroutine<void> {
        yield* this.clearOverflow();
      }
    }
    const { bench } = flood(Early);
    expect(bench.core.faults.byDevice.get(bench.device)!.partial.length).toBe(1);
  });
});

describe('page requests that the interrupt thread handles itself (IOPF-29)', () => {
  const settings = { 'vtd.prq-handler': 'thread' };

  it('are answered, and told to the driver with address, rights and result', () => {
    const { bench, ring } = booted({ settings });
    const told: unknown[] = [];
    bench.driver.vtd.threadFaults.setCallback(bench.device, function* (request) {
      told.push({ ...request, device: request.device.name });
    });
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      ring.ask({ pasid: 1, address: va, read: true });
      yield* bench.kernel.clock.sleep(1000);
      ring.ask({ pasid: 1, address: 0x1000n, write: false, exec: true, priv: true, group: 8, data: 5n });
      yield* bench.kernel.clock.sleep(1000);
      // Nobody is told of a PASID that is not found (IOPF-25).
      ring.ask({ pasid: 9, group: 9 });
      yield* bench.kernel.clock.sleep(1000);
      const device = '0000:00:03.0';
      expect(told).toEqual([{ device, pasid: 1, address: va, privateData: null, rights: 0xc, result: 0 }]);
      expect(bench.unit.take()).toEqual(['q 100180019 38 0 0', 'q 90018f019 48 0 0']);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('have their rights in the places of the old word: 8 read, 4 write, 2 execute, 1 privileged (IOPF-29)', () => {
    const { bench } = booted({ settings });
    const { threadFaults } = bench.driver.vtd;
    expect([PERM.READ, PERM.WRITE, PERM.EXEC, PERM.PRIV].map((right) => threadFaults.rightsWord(right))).toEqual([
      8, 4, 2, 1,
    ]);
  });

  it('make a group fail with its first error (IOPF-5)', () => {
    const { bench, ring } = booted({ settings });
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      ring.ask({ pasid: 1, address: 0x1000n, last: false });
      ring.ask({ pasid: 1, address: va });
      ring.ask({ pasid: 1, address: va, group: 8 });
      yield* bench.kernel.clock.sleep(1000);
      expect(bench.unit.take()).toEqual(['q 100181019 38 0 0', 'q 100180019 40 0 0']);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });
});
