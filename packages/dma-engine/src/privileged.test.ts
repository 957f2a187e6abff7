import type { OpenFile, SupervisorPasids } from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import type { Upstream } from '@iommukit/pci-ats';
import { describe, expect, it } from 'vitest';
import { codeOf, DriverBench, JOB } from '../test/driver-bench.js';
import { EngineBench } from '../test/engine-bench.js';
import { CANCELLED, COPY, DONE, FAILED, FILL, INVALID_REQUEST, PAGE, PRIVILEGED, R, W } from '../test/literals.js';

const CAN = { capabilities: { privileged: true } };
/** Privileged mode of a PASID capability. */
const PRIV = 4;

describe('a privileged job', () => {
  /** What the device sent of these kinds, as kind and mode. */
  function modes(bench: EngineBench, ...kinds: Upstream['kind'][]): string[] {
    return bench.iommu.seen.flatMap((tlp) => {
      if (!kinds.includes(tlp.kind)) return [];
      const privileged = tlp.kind === 'page-request' ? (tlp.perm & 8) !== 0 : 'priv' in tlp && tlp.priv === true;
      return [`${tlp.kind} ${privileged ? 'privileged' : 'user'}`];
    });
  }

  it('asks for privileged mode in translation requests and page requests', () => {
    const bench = new EngineBench(CAN);
    bench.allow([8], R);
    bench.iommu.answer = () => INVALID_REQUEST;
    bench.do(function* () {
      yield* bench.enable(32, PRIV);
      const job = { op: COPY | PRIVILEGED, source: 8 * PAGE, destination: 9 * PAGE, bytes: 8 };
      expect(yield* bench.job(job)).toBe(CANCELLED);
    });
    expect(modes(bench, 'translation-request', 'page-request')).toEqual([
      'translation-request privileged',
      'translation-request privileged',
      'page-request privileged',
    ]);
  });

  it('shares no cached translation with a job of users (ATC-2)', () => {
    const bench = new EngineBench(CAN);
    bench.allow([8], R | W);
    bench.do(function* () {
      yield* bench.enable(32, PRIV);
      for (const mode of [PRIVILEGED, 0, PRIVILEGED, 0])
        expect(yield* bench.job({ op: FILL | mode, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
    });
    expect(modes(bench, 'translation-request')).toEqual(['translation-request privileged', 'translation-request user']);
  });

  it('says so in untranslated requests too, while ATS is off', () => {
    const bench = new EngineBench(CAN);
    bench.do(function* () {
      yield* bench.enablePlain(true, PRIV);
      yield* bench.job({ op: COPY | PRIVILEGED, source: 8 * PAGE, destination: 9 * PAGE, bytes: 8 });
      yield* bench.job({ op: FILL, destination: 9 * PAGE, bytes: 8 });
    });
    expect(modes(bench, 'read', 'write')).toEqual(['read privileged', 'write privileged', 'write user']);
  });

  it.each([
    ['is not on', true],
    ['is not there', false],
  ])('fails and sends nothing where privileged mode %s (ATC-15)', (_what, privileged) => {
    const bench = new EngineBench({ capabilities: { privileged } }).boot();
    bench.allow([8], R | W);
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL | PRIVILEGED, destination: 8 * PAGE, bytes: 8 })).toBe(FAILED);
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
    });
    expect(modes(bench, 'translation-request')).toEqual(['translation-request user']);
  });
});

/** Where the 1:1 map of the fake begins. */
const DIRECT = 0xffff_8880_0000_0000n;
const FILL_JOB = { ...JOB, destination: DIRECT, privileged: true } as const;

describe('the driver and supervisor PASIDs (SVA-20)', () => {
  /** A bench whose IOMMU has such PASIDs, and what was asked of them. */
  function bench(capabilities = CAN.capabilities): { bench: DriverBench; asked: string[] } {
    const bench = new DriverBench({ capabilities });
    const asked: string[] = [];
    const fake: Partial<SupervisorPasids> = {
      *bindSupervisor(device) {
        asked.push('bind');
        return { device, pasid: 7 };
      },
      *unbindSupervisor({ pasid }) {
        asked.push(`unbind ${pasid}`);
      },
      *useSupervisor(address, bytes) {
        if (address < DIRECT) throw new IommuError('EFAULT', 'outside');
        asked.push(`use 0x${(address - DIRECT).toString(16)} ${bytes}`);
      },
      *unmapSupervisor(address, bytes) {
        asked.push(`unmap 0x${(address - DIRECT).toString(16)} ${bytes}`);
      },
    };
    Object.assign(bench.iommu, fake);
    return { bench: bench.boot(), asked };
  }

  function use(of: DriverBench, body: (file: OpenFile) => Coroutine<void>): void {
    const before = of.inUse();
    const outcome = of.processes({
      *process(user) {
        const file = yield* user.open();
        yield* body(file);
      },
    });
    expect(outcome.end).toBe('finished');
    expect(of.inUse()).toEqual(before);
  }

  it('has every address of a privileged job looked at, before the device hears of it', () => {
    const { bench: of, asked } = bench();
    const { driver } = of;
    use(of, function* (file) {
      expect(yield* driver.bindSupervisor(file)).toBe(7);
      const copy = { ...FILL_JOB, op: 'copy', source: DIRECT + 0x1000n } as const;
      yield* driver.submit(file, copy);
      yield* driver.wait(file);
      for (const job of [
        { ...copy, source: 0x7f00_0000_0000n },
        { ...copy, destination: 0x7f00_0000_0000n },
        { ...FILL_JOB, destination: 0x7f00_0000_0000n },
      ])
        expect(yield* codeOf(() => driver.submit(file, job))).toBe('EFAULT');
      yield* driver.unmapSupervisor(DIRECT, 4096);
      yield* driver.unbind(file);
    });
    expect(asked).toEqual(['bind', 'use 0x1000 8', 'use 0x0 8', 'use 0x1000 8', 'unmap 0x0 4096', 'unbind 7']);
    expect(of.log[0]).toBe('dev=0000:00:03.0 pasid=7 privileged op=copy bytes=8 status=submitted');
    expect(of.log.filter((line) => line.endsWith('submitted'))).toHaveLength(1);
  });

  it("takes no privileged job from a file that is a process's, and none without a PASID", () => {
    const { bench: of, asked } = bench();
    const { driver } = of;
    of.processes({
      *process(user) {
        const file = yield* user.bound();
        expect(yield* codeOf(() => driver.submit(file, FILL_JOB))).toBe('EINVAL');
        expect(yield* codeOf(() => driver.submit(file, { ...FILL_JOB, noPasid: true }))).toBe('EINVAL');
        expect(yield* codeOf(() => driver.bindSupervisor(file))).toBe('EEXIST');
      },
    });
    expect([asked, of.log]).toEqual([[], []]);
  });

  it('gives the PASID back when the file is closed', () => {
    const { bench: of, asked } = bench();
    use(of, function* (file) {
      yield* of.driver.bindSupervisor(file);
      yield* of.driver.submit(file, { ...FILL_JOB, endless: true });
    });
    expect(asked.at(-1)).toBe('unbind 7');
  });

  it('refuses with the reason where the device cannot be privileged, or the IOMMU has no such PASIDs', () => {
    const { bench: of } = bench({ privileged: false });
    use(of, function* (file) {
      expect(yield* codeOf(() => of.driver.bindSupervisor(file))).toBe('ENODEV');
    });
    const plain = new DriverBench(CAN).boot();
    use(plain, function* (file) {
      expect(yield* codeOf(() => plain.driver.bindSupervisor(file))).toBe('ENODEV');
    });
  });

  it('lets the file be bound again when the IOMMU refused', () => {
    const { bench: of } = bench();
    const { driver } = of;
    const again = of.iommu as unknown as SupervisorPasids;
    const first = again.bindSupervisor;
    again.bindSupervisor = function* () {
      throw new IommuError('ENOSPC', 'no PASID is free');
    };
    use(of, function* (file) {
      expect(yield* codeOf(() => driver.bindSupervisor(file))).toBe('ENOSPC');
      again.bindSupervisor = first;
      expect(yield* driver.bindSupervisor(file)).toBe(7);
    });
  });
});
