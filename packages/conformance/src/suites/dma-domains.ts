import type { DmaDomain } from '@iommukit/core';
import { PERM } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import type { Bench } from '../bench.js';
import { codeOf, holds, refused, same } from '../checks.js';
import { type ConformanceTest, EVERY_WAY, WAYS } from '../conformance-test.js';
import { PAGE, sumOf, type User } from '../user.js';

const { READ, WRITE } = PERM;
const IOVA = 0x1234_5000n;
const TWO = { engines: [{}, {}] };
const DOMAINS = { feature: 'dmaDomains', ways: WAYS } as const;
/** Tests that devices can be in that only copy. */
const PLAIN = { feature: 'dmaDomains', ways: EVERY_WAY } as const;
/** Where such a device has the source of what it fills, and where it puts what it reads. */
const SCRATCH = 0x7000_0000n;

/** One device in a domain of its own, and memory of its driver. */
class Attached {
  readonly bench: Bench;
  readonly engine: number;
  readonly domain: DmaDomain;
  /** Its features were on before. */
  readonly sharing: boolean;

  constructor(bench: Bench, engine: number, domain: DmaDomain, sharing: boolean) {
    this.sharing = sharing;
    this.bench = bench;
    this.engine = engine;
    this.domain = domain;
  }

  static *make(bench: Bench, engine = 0, shared?: DmaDomain): Coroutine<Attached> {
    const device = bench.device(engine);
    const { sharing } = bench.engine(engine).state;
    yield* bench.engine(engine).disableFeatures();
    const domain = shared ?? (yield* bench.iommu.allocDomain(device));
    yield* bench.iommu.attach(device, domain);
    return new Attached(bench, engine, domain, sharing);
  }

  /** Pages of a driver, physically together, that hold one byte all over. */
  memory(pages: number, byte: number): number {
    const order = Math.ceil(Math.log2(pages));
    const pa = this.bench.bus.frames.alloc('conformance buffer', order) * PAGE;
    this.bench.bus.write(pa, new Uint8Array(pages * PAGE).fill(byte));
    return pa;
  }

  free(pa: number, pages: number): void {
    this.bench.bus.frames.free(pa / PAGE, Math.ceil(Math.log2(pages)));
  }

  map(iova: bigint, pa: number, pages: number, perm: number = READ | WRITE): Coroutine<void> {
    return this.bench.iommu.map(this.domain, iova, pa, pages * PAGE, perm);
  }

  unmap(iova: bigint, pages: number): Coroutine<void> {
    return this.bench.iommu.unmap(this.domain, iova, pages * PAGE);
  }

  /** @returns how the job ended; of a copy `done`, for a device may tell nobody */
  *fill(user: User, iova: bigint, pages: number, byte: number): Coroutine<string> {
    if (this.bench.way === 'copies') {
      yield* this.withScratch(pages, byte, (_pa) => this.copy(user, SCRATCH, iova, pages));
      return 'done';
    }
    const file = yield* user.open(this.engine);
    const job = { destination: iova, bytes: pages * PAGE, pattern: byte * 0x01010101, noPasid: true };
    return (yield* user.job(file, job, this.engine)).status;
  }

  /** What the device makes of the words of some pages, or null. */
  *sum(user: User, iova: bigint, pages: number): Coroutine<number | null> {
    if (this.bench.way === 'copies') return yield* this.sumOfCopy(user, iova, pages);
    const file = yield* user.open(this.engine);
    const job = { op: 'checksum', source: iova, bytes: pages * PAGE, noPasid: true } as const;
    const { status, sum } = yield* user.job(file, job, this.engine);
    return status === 'done' ? sum : null;
  }

  *copy(user: User, source: bigint, destination: bigint, pages: number): Coroutine<void> {
    const file = yield* user.open(this.engine);
    const job = { op: 'copy', source, destination, bytes: pages * PAGE, noPasid: true } as const;
    yield* user.job(file, job, this.engine);
    yield* user.close(file);
  }

  /** A page that cannot be read gives nothing, or zeros, which no test has. */
  *sumOfCopy(user: User, iova: bigint, pages: number): Coroutine<number | null> {
    let sum = 0;
    const { bench } = this;
    yield* this.withScratch(pages, 0, function* (this: Attached, pa: number): Coroutine<void> {
      yield* this.copy(user, iova, SCRATCH, pages);
      const words = new Uint8Array(pages * PAGE);
      bench.bus.read(pa, words);
      sum = new Uint32Array(words.buffer).reduce((total, word) => (total + word) >>> 0, 0);
    });
    return sum === 0 ? null : sum;
  }

  /** Memory of its own at {@link SCRATCH}, for as long as `use` takes. */
  *withScratch(pages: number, byte: number, use: (this: Attached, pa: number) => Coroutine<void>): Coroutine<void> {
    const pa = this.memory(pages, byte);
    yield* this.map(SCRATCH, pa, pages);
    yield* use.call(this, pa);
    yield* this.unmap(SCRATCH, pages);
    this.free(pa, pages);
  }

  /** Fails unless physical pages hold one byte all over. */
  expect(pa: number, pages: number, byte: number, what: string): void {
    const found = new Uint8Array(pages * PAGE);
    this.bench.bus.read(pa, found);
    holds(
      found.every((value) => value === byte),
      `${what}: it is not 0x${byte.toString(16)} all over`,
    );
  }

  *leave(): Coroutine<void> {
    yield* this.bench.iommu.detach(this.bench.device(this.engine));
    yield* this.bench.iommu.freeDomain(this.domain);
    if (this.sharing) yield* this.bench.engine(this.engine).enableFeatures();
  }
}

/** Classic DMA domains (SMMU-9, SMMU-19, FEAT-6). */
export const DMA_DOMAINS: readonly ConformanceTest[] = [
  {
    ...PLAIN,
    name: 'maps memory for requests without PASID: the device reads and writes it, iovaToPhys says where it is',
    body(bench) {
      bench.process('driver', function* (user) {
        const dma = yield* Attached.make(bench);
        const pa = dma.memory(4, 0x11);
        yield* dma.map(IOVA, pa, 4);
        const at = (offset: bigint): number | null => bench.iommu.iovaToPhys(dma.domain, IOVA + offset);
        same([at(0n), at(0x1234n), at(0x3fffn)], [pa, pa + 0x1234, pa + 0x3fff], 'physical addresses');
        same([at(-1n), at(0x4000n)], [null, null], 'physical addresses outside');
        same(yield* dma.sum(user, IOVA, 4), sumOf(0x11, 4), 'what the device reads');
        same(yield* dma.fill(user, IOVA + 0x1000n, 2, 0x12), 'done', 'the job');
        dma.expect(pa, 1, 0x11, 'the first page');
        dma.expect(pa + PAGE, 2, 0x12, 'what the device stored');
        yield* dma.unmap(IOVA, 4);
        same([at(0n), at(0x3fffn)], [null, null], 'physical addresses after unmap');
        dma.free(pa, 4);
        yield* dma.leave();
      });
    },
  },
  {
    ...PLAIN,
    name: 'unmaps memory: when unmap returns, the device does not reach it (SMMU-19)',
    body(bench) {
      bench.process('driver', function* (user) {
        const dma = yield* Attached.make(bench);
        const pa = dma.memory(4, 0x21);
        yield* dma.map(IOVA, pa, 4);
        same(yield* dma.fill(user, IOVA, 4, 0x22), 'done', 'the job');
        yield* dma.unmap(IOVA + 0x1000n, 2);
        for (const i of [1n, 2n]) {
          yield* dma.fill(user, IOVA + i * 0x1000n, 1, 0xee);
          same(yield* dma.sum(user, IOVA + i * 0x1000n, 1), null, 'what the device reads of what is unmapped');
        }
        dma.expect(pa, 4, 0x22, 'the memory');
        same(yield* dma.sum(user, IOVA, 1), sumOf(0x22, 1), 'what is still mapped');
        yield* dma.unmap(IOVA, 4);
        dma.free(pa, 4);
        yield* dma.leave();
      });
    },
  },
  {
    ...DOMAINS,
    name: 'unmaps memory under a runaway device, which never reaches the next owner of the memory (INV-1)',
    body(bench) {
      bench.process('driver', function* (user) {
        const dma = yield* Attached.make(bench);
        const pa = dma.memory(2, 0x31);
        yield* dma.map(IOVA, pa, 2);
        const file = yield* user.open();
        yield* user.submit(file, { destination: IOVA, bytes: 2 * PAGE, endless: true, noPasid: true });
        yield* bench.kernel.clock.sleep(3000);
        yield* dma.unmap(IOVA, 2);
        dma.free(pa, 2);
        const next = dma.memory(2, 0x32);
        yield* bench.kernel.clock.sleep(5000);
        dma.expect(next, 2, 0x32, "the next owner's memory");
        dma.free(next, 2);
        yield* bench.engine().stop(file);
        yield* dma.leave();
      });
    },
  },
  {
    ...PLAIN,
    name: 'gives no right to write what is mapped for reading',
    body(bench) {
      bench.process('driver', function* (user) {
        const dma = yield* Attached.make(bench);
        const pa = dma.memory(1, 0x41);
        yield* dma.map(IOVA, pa, 1, READ);
        yield* dma.fill(user, IOVA, 1, 0xee);
        dma.expect(pa, 1, 0x41, 'what is mapped for reading');
        same(yield* dma.sum(user, IOVA, 1), sumOf(0x41, 1), 'what the device reads');
        yield* dma.unmap(IOVA, 1);
        dma.free(pa, 1);
        yield* dma.leave();
      });
    },
  },
  {
    ...PLAIN,
    name: 'refuses what is no whole pages (EINVAL), what is mapped (EEXIST), and keeps nothing of it',
    schedules: false,
    body(bench) {
      bench.process('driver', function* () {
        const { iommu } = bench;
        const dma = yield* Attached.make(bench);
        const { domain } = dma;
        const pa = dma.memory(4, 0x51);
        for (const [iova, at, bytes] of [
          [IOVA + 1n, pa, PAGE],
          [IOVA, pa + 8, PAGE],
          [IOVA, pa, 100],
          [IOVA, pa, 0],
          [-0x1000n, pa, PAGE],
          [1n << 62n, pa, PAGE],
        ] as const) {
          const what = `mapping ${bytes} bytes at 0x${iova.toString(16)} to 0x${at.toString(16)}`;
          yield* refused('EINVAL', iommu.map(domain, iova, at, bytes, READ), what);
        }
        yield* dma.map(IOVA + 0x2000n, pa, 1);
        yield* refused('EEXIST', dma.map(IOVA, pa, 4), 'mapping over what is mapped');
        same(iommu.iovaToPhys(domain, IOVA), null, 'the page before it');
        same(iommu.iovaToPhys(domain, IOVA + 0x2000n), pa, 'what was mapped before');
        yield* refused('EINVAL', iommu.unmap(domain, IOVA + 1n, PAGE), 'unmapping a part of a page');
        yield* dma.unmap(IOVA, 4);
        dma.free(pa, 4);
        yield* dma.leave();
      });
    },
  },
  {
    ...DOMAINS,
    name: 'refuses to move a device while SVA is on (EBUSY, FEAT-6)',
    schedules: false,
    body(bench) {
      bench.process('driver', function* (user) {
        const { iommu } = bench;
        const domain = yield* iommu.allocDomain(bench.device());
        yield* refused('EBUSY', iommu.attach(bench.device(), domain), 'attaching a device with SVA on');
        yield* refused('EBUSY', iommu.detach(bench.device()), 'detaching a device with SVA on');
        yield* iommu.freeDomain(domain);
        const area = yield* user.filled(1, 0x61);
        yield* user.deviceReads(yield* user.bound(), area, 1, 0x61, 'after the refusals');
      });
    },
  },
  {
    ...PLAIN,
    name: 'does not free a domain that a device is in (EBUSY), and frees it with what is mapped',
    schedules: false,
    body(bench) {
      bench.process('driver', function* () {
        const dma = yield* Attached.make(bench);
        const pa = dma.memory(2, 0x71);
        yield* dma.map(IOVA, pa, 2);
        yield* refused('EBUSY', bench.iommu.freeDomain(dma.domain), 'freeing a domain with a device');
        yield* dma.leave();
        dma.free(pa, 2);
      });
    },
  },
  {
    ...PLAIN,
    name: 'gives two devices two memories at one address, and neither reaches the other',
    machine: TWO,
    body(bench) {
      bench.process('driver', function* (user) {
        const [a, b] = [yield* Attached.make(bench, 0), yield* Attached.make(bench, 1)];
        const [pa, pb] = [a.memory(2, 0x81), b.memory(1, 0x82)];
        yield* a.map(IOVA, pa, 2);
        yield* b.map(IOVA, pb, 1);
        same(yield* a.sum(user, IOVA, 1), sumOf(0x81, 1), 'the first device');
        same(yield* b.sum(user, IOVA, 1), sumOf(0x82, 1), 'the second device');
        same(yield* b.sum(user, IOVA + 0x1000n, 1), null, 'what only the first has');
        yield* b.unmap(IOVA, 1);
        same(yield* b.sum(user, IOVA, 1), null, 'what the second has no more');
        same(yield* a.fill(user, IOVA, 2, 0x83), 'done', 'the job of the first');
        a.expect(pa, 2, 0x83, 'the memory of the first');
        b.expect(pb, 1, 0x82, 'the memory of the second');
        yield* a.unmap(IOVA, 2);
        a.free(pa, 2);
        b.free(pb, 1);
        yield* a.leave();
        yield* b.leave();
      });
    },
  },
  {
    ...DOMAINS,
    name: 'lets a device that was detached reach nothing without PASID',
    body(bench) {
      bench.process('driver', function* (user) {
        const { iommu } = bench;
        const dma = yield* Attached.make(bench);
        const pa = dma.memory(1, 0x91);
        yield* dma.map(IOVA, pa, 1);
        same(yield* dma.sum(user, IOVA, 1), sumOf(0x91, 1), 'before detach');
        yield* iommu.detach(bench.device());
        same(yield* dma.sum(user, IOVA, 1), null, 'after detach');
        yield* dma.fill(user, IOVA, 1, 0xee);
        dma.expect(pa, 1, 0x91, 'the memory');
        yield* iommu.freeDomain(dma.domain);
        dma.free(pa, 1);
        yield* bench.engine().enableFeatures();
      });
    },
  },
  {
    ...DOMAINS,
    name: 'refuses to map (ENOMEM) at whatever allocation fails, and keeps nothing of it (L32)',
    schedules: false,
    body(bench) {
      bench.process('driver', function* () {
        const { injection } = bench.kernel;
        yield* bench.engine().disableFeatures();
        for (let n = 1; ; n++) {
          const last = injection.state.count + n;
          injection.failAt = last;
          const code = yield* codeOf(mapAndLeave(bench));
          injection.failAt = 0;
          if (injection.state.count < last) return yield* bench.engine().enableFeatures();
          holds(code === null || code === 'ENOMEM', `without memory: ${code}`);
        }
      });
    },
  },
];

function* mapAndLeave(bench: Bench): Coroutine<void> {
  const { iommu } = bench;
  const device = bench.device();
  const domain = yield* iommu.allocDomain(device);
  try {
    yield* iommu.attach(device, domain);
    try {
      yield* iommu.map(domain, IOVA, 0x4000_0000, 2 * PAGE, READ);
      yield* iommu.unmap(domain, IOVA, 2 * PAGE);
    } finally {
      yield* iommu.detach(device);
    }
  } finally {
    yield* iommu.freeDomain(domain);
  }
}

/** Several devices in one domain (SVA-4). */
export const SEVERAL_DEVICES: readonly ConformanceTest[] = [
  {
    name: 'gives two devices of a domain the same memory, and takes it from both at once',
    feature: 'severalDevices',
    needs: ['dmaDomains'],
    ways: WAYS,
    machine: TWO,
    body(bench) {
      bench.process('driver', function* (user) {
        const { iommu } = bench;
        const a = yield* Attached.make(bench, 0);
        const b = yield* Attached.make(bench, 1, a.domain);
        const pa = a.memory(2, 0x11);
        yield* a.map(IOVA, pa, 2);
        same(yield* a.fill(user, IOVA, 1, 0x12), 'done', 'the job of the first');
        same(yield* b.sum(user, IOVA, 1), sumOf(0x12, 1), 'what the second reads');
        yield* a.unmap(IOVA, 2);
        for (const dma of [a, b]) same(yield* dma.sum(user, IOVA, 1), null, 'what is unmapped');
        yield* iommu.detach(bench.device(1));
        yield* bench.engine(1).enableFeatures();
        yield* refused('EBUSY', iommu.freeDomain(a.domain), 'freeing a domain with a device');
        a.free(pa, 2);
        yield* a.leave();
      });
    },
  },
];

/** A device in a domain that serves processes too. */
export const SIDE_BY_SIDE: readonly ConformanceTest[] = [
  {
    name: 'serves requests with and without PASID side by side',
    feature: 'requestsWithoutPasid',
    needs: ['dmaDomains'],
    ways: WAYS,
    body(bench) {
      bench.process('driver', function* (user) {
        const dma = yield* Attached.make(bench);
        const pa = dma.memory(1, 0x11);
        yield* dma.map(IOVA, pa, 1);
        yield* bench.engine().enableFeatures();
        const file = yield* user.bound();
        const area = yield* user.filled(1, 0x12);
        yield* user.deviceReads(file, area, 1, 0x12, 'with PASID');
        same(yield* dma.sum(user, IOVA, 1), sumOf(0x11, 1), 'without PASID');
        yield* dma.unmap(IOVA, 1);
        same(yield* dma.sum(user, IOVA, 1), null, 'what is unmapped');
        yield* user.deviceReads(file, area, 1, 0x12, 'with PASID, after the unmapping');
        yield* bench.engine().unbind(file);
        yield* bench.engine().disableFeatures();
        dma.free(pa, 1);
        yield* dma.leave();
      });
    },
  },
];
