import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { EngineBench } from '../test/engine-bench.js';
import {
  CANCELLED,
  CHECKSUM,
  COPY,
  DONE,
  FAILED,
  FILL,
  INVALID_JOB,
  INVALID_REQUEST,
  PAGE,
  R,
  ramp,
  W,
} from '../test/literals.js';

describe('the three operations', () => {
  it('copy page by page, asking for the right that each access needs', () => {
    const bench = new EngineBench().boot();
    bench.put(2 * PAGE, ramp(2 * PAGE));
    bench.allow([2, 3], R);
    bench.do(function* () {
      expect(yield* bench.job({ op: COPY, source: 2 * PAGE, destination: 8 * PAGE, bytes: 2 * PAGE })).toBe(DONE);
    });
    expect(bench.bytes(8 * PAGE, 2 * PAGE)).toEqual(ramp(2 * PAGE));
    const page = (n: number): string[] => [
      `translate ${2 + n} r`,
      `read ${2 + n}+0 4096`,
      `translate ${8 + n} w`,
      `request ${8 + n} 2 last`,
      `translate ${8 + n} w`,
      `write ${8 + n}+0 4096`,
    ];
    expect(bench.iommu.log()).toEqual([...page(0), ...page(1)]);
  });

  it('copy between places that lie differently in their pages', () => {
    const bench = new EngineBench().boot();
    bench.put(2 * PAGE + 4088, ramp(4200));
    bench.allow([2, 3, 4, 8, 9, 10], R | W);
    bench.do(function* () {
      const status = yield* bench.job({ op: COPY, source: 3 * PAGE - 8, destination: 8 * PAGE + 24, bytes: 4200 });
      expect(status).toBe(DONE);
    });
    expect(bench.bytes(8 * PAGE + 24, 4200)).toEqual(ramp(4200));
    expect(bench.bytes(8 * PAGE, 24)).toEqual(new Array(24).fill(0));
    expect(bench.bytes(8 * PAGE + 24 + 4200, 8)).toEqual(new Array(8).fill(0));
    expect(bench.iommu.log().filter((line) => /^(read|write)/.test(line))).toEqual([
      'read 2+4088 8',
      'write 8+24 8',
      'read 3+0 4064',
      'write 8+32 4064',
      'read 3+4064 32',
      'write 9+0 32',
      'read 4+0 96',
      'write 9+32 96',
    ]);
  });

  it('fill with a 32-bit word, and read nothing', () => {
    const bench = new EngineBench().boot();
    bench.allow([8, 9], W);
    bench.do(function* () {
      const job = { op: FILL, source: 0x123, destination: 9 * PAGE - 8, bytes: 24, pattern: 0xdeadbeef };
      expect(yield* bench.job(job)).toBe(DONE);
    });
    expect(bench.bytes(9 * PAGE - 16, 40)).toEqual([
      ...new Array(8).fill(0),
      ...new Array(6).fill([0xef, 0xbe, 0xad, 0xde]).flat(),
      ...new Array(8).fill(0),
    ]);
    expect(bench.iommu.log()).toEqual(['translate 8 w', 'write 8+4088 8', 'translate 9 w', 'write 9+0 16']);
  });

  it('sum 32-bit words modulo 2^32, and write nothing', () => {
    const bench = new EngineBench().boot();
    bench.put(2 * PAGE + 4088, [0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x80]);
    bench.allow([2, 3], R);
    bench.do(function* () {
      expect(yield* bench.job({ op: CHECKSUM, source: 3 * PAGE - 8, destination: 0x123, bytes: 16 })).toBe(DONE);
      expect(yield* bench.registers.read32(0x30)).toBe(0x80000101);
      expect(yield* bench.job({ op: FILL, destination: 40 * PAGE, bytes: 8 })).toBe(DONE);
      expect(yield* bench.registers.read32(0x30)).toBe(0);
      expect(yield* bench.job({ op: CHECKSUM, source: 3 * PAGE, bytes: 8 })).toBe(DONE);
      expect(yield* bench.registers.read32(0x30)).toBe(0x80000100);
      expect(yield* bench.job({ op: 0, bytes: 8 })).toBe(INVALID_JOB);
      expect(yield* bench.registers.read32(0x30)).toBe(0);
    });
    expect(bench.iommu.log().slice(0, 4)).toEqual(['translate 2 r', 'read 2+4088 8', 'translate 3 r', 'read 3+0 8']);
  });

  it.each([
    ['no operation', { op: 0, bytes: 8 }],
    ['an unknown operation', { op: 7, bytes: 8 }],
    ['no bytes', { op: COPY, bytes: 0 }],
    ['bytes that are no multiple of 8', { op: COPY, bytes: 12 }],
    ['a source that is not aligned to 8', { op: CHECKSUM, source: 4, bytes: 8 }],
    ['a destination that is not aligned to 8', { op: FILL, destination: 4, bytes: 8 }],
  ])('refuse a job with %s without a word to the IOMMU', (_what, job) => {
    const bench = new EngineBench().boot();
    bench.do(function* () {
      expect(yield* bench.job(job)).toBe(INVALID_JOB);
    });
    expect(bench.iommu.log()).toEqual([]);
    expect(bench.pulses).toHaveLength(1);
  });

  it('refuse a job that would wrap around the end of the address space, and take one that ends there', () => {
    const bench = new EngineBench().boot();
    bench.iommu.answer = () => INVALID_REQUEST;
    bench.do(function* () {
      for (const [bytes, status] of [
        [8, CANCELLED],
        [16, INVALID_JOB],
        [0xfffffff8, INVALID_JOB],
      ] as const) {
        yield* bench.program({ op: FILL, bytes });
        yield* bench.registers.write64(0x18, 0xfffffff8, 0xffffffff);
        yield* bench.ring();
        expect(yield* bench.outcome()).toBe(status);
      }
    });
    expect(bench.iommu.seen[0]).toMatchObject({ kind: 'translation-request', page: 2 ** 52 - 1 });
  });
});

describe('what the driver has not switched on', () => {
  it('fails the job without bus mastering, also when the cache has the page', () => {
    const bench = new EngineBench().boot();
    bench.allow([8], W);
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
      yield* bench.kernel.clock.sleep(1); // What the job posted has arrived.
      bench.iommu.seen.length = 0;
      yield* write16(bench, 0x04, 0x2);
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(FAILED);
    });
    expect(bench.iommu.log()).toEqual([]);
  });

  it('sends untranslated requests without address translation, also when the cache had the page (ATC-1)', () => {
    const bench = new EngineBench().boot();
    bench.allow([8], W);
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
      yield* bench.kernel.clock.sleep(1); // What the job posted has arrived.
      bench.iommu.seen.length = 0;
      yield* write16(bench, 0x106, 0x0000);
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
      yield* bench.kernel.clock.sleep(1);
    });
    expect(bench.iommu.seen).toMatchObject([{ kind: 'write', at: 0, pasid: 5, page: 8 }]);
  });

  it('fails the job with a PASID that the function cannot send (ATC-15)', () => {
    const bench = new EngineBench({ capabilities: { pasidBits: 4 } }).boot();
    bench.allow([8], W);
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8, pasid: 16 })).toBe(FAILED);
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8, pasid: 15 })).toBe(DONE);
    });
    expect(bench.iommu.seen[0]).toMatchObject({ pasid: 15 });
  });

  it('ends jobs without an interrupt message while interrupts are disabled', () => {
    const bench = new EngineBench().boot();
    bench.allow([8], W);
    bench.do(function* () {
      yield* write16(bench, 0x04, 0x406);
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
      yield* bench.kernel.clock.sleep(1);
      expect(bench.pulses).toEqual([]);
      expect(yield* bench.registers.read32(0x3c)).toBe(1);
      yield* write16(bench, 0x04, 0x006);
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
      yield* bench.kernel.clock.sleep(1);
      expect(bench.pulses).toHaveLength(1);
    });
  });
});

describe('the doorbell', () => {
  it('is lost while a job runs, and the running job keeps what it was given', () => {
    const bench = new EngineBench().boot();
    bench.iommu.answer = () => null;
    bench.do(function* () {
      yield* bench.program({ op: FILL, destination: 8 * PAGE, bytes: 8, pattern: 0x01010101 });
      yield* bench.ring();
      yield* bench.program({ op: FILL, destination: 9 * PAGE, bytes: 8, pattern: 0x02020202, pasid: 6 });
      yield* bench.ring();
      expect(yield* bench.registers.read32(0x04)).toBe(0);
      yield* bench.kernel.clock.sleep(1);
      bench.allow([8, 9], W);
      yield* bench.iommu.respond(bench.iommu.seen[1] as never, 0);
      expect(yield* bench.outcome()).toBe(DONE);
      yield* bench.kernel.clock.sleep(1);
    });
    expect(bench.bytes(8 * PAGE, 8)).toEqual(new Array(8).fill(1));
    expect(bench.bytes(9 * PAGE, 8)).toEqual(new Array(8).fill(0));
    expect(bench.pulses).toHaveLength(1);
  });

  it('does nothing when bit 0 is not set', () => {
    const bench = new EngineBench().boot();
    bench.do(function* () {
      yield* bench.registers.write32(0x04, 0xfffffffe);
      yield* bench.kernel.clock.sleep(1);
      expect(yield* bench.registers.read32(0x08)).toBe(0);
    });
  });
});

describe('any register values', () => {
  it('make no hardware throw, and the device comes to rest', () => {
    let random = 12345;
    const next = (): number => {
      random = (Math.imul(random, 1103515245) + 12345) >>> 0;
      return random;
    };
    const bench = new EngineBench({ capabilities: { pasidBits: 4 } }).boot();
    bench.iommu.answer = (requests) => (next() % 2 === 0 ? bench.iommu.grant(requests) : INVALID_REQUEST);
    const statuses = new Set<number>();
    for (let i = 0; i < 400; i++) {
      bench.do(function* () {
        for (let n = 0; n < 12; n++) {
          // Small lengths, so that a job that works ends soon.
          const offset = (next() >>> 8) % 16;
          const value = next() % 3 === 0 ? next() : (next() >>> 16) & 0xf8;
          yield* bench.registers.write32(offset * 4, tamed(offset, value));
        }
        yield* bench.ring();
        statuses.add(yield* bench.outcome());
      });
      expect(bench.kernel.atRest).toBe(true);
    }
    expect([...statuses].sort()).toEqual(expect.arrayContaining([DONE, CANCELLED, FAILED, INVALID_JOB]));
  });
});

/** Values of a job that ends: short, not endless, with a PASID that is sometimes one too large. */
function tamed(word: number, value: number): number {
  if (word === 3) return value & ~0x200;
  if (word === 8) return value & 0x3fff;
  return word === 9 ? value % 18 : value;
}

function* write16(bench: EngineBench, offset: number, value: number): Coroutine<void> {
  yield* bench.config.write16(offset, value);
}
