import { PERM } from '@iommukit/core';
import { type Coroutine, Observer } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench } from '../test/bench.js';
import { type Asked, RequestRing } from '../test/request-ring.js';
import { type Bond, type Master, PageRequests, ThreadFaults, type VtdParts } from './index.js';

/** What the mutants of L54 and L60 break: one step each, by its name in the catalogue. */
type Parts = Partial<VtdParts>;

/** Addresses of the faults that core was told of. */
class Addresses extends Observer {
  readonly pages: number[] = [];

  override faultAccepted(_device: string, _pasid: number, _group: number, _last: boolean, page: number): void {
    this.pages.push(page);
  }
}

/** A booted bench; some requests are made one after the other, and what the unit is told is returned. */
function after(parts: Parts, asked: readonly Asked[], settings: Record<string, string> = {}) {
  const bench = new Bench({ levels: 4, parts, settings }).boot();
  const addresses = new Addresses();
  bench.kernel.observer = addresses;
  const ring = new RequestRing(bench);
  bench.do(function* () {
    for (const one of asked) {
      ring.ask(one);
      yield* bench.kernel.clock.sleep(1000);
    }
  });
  return { answers: bench.unit.take(), pages: addresses.pages, trace: bench.trace };
}

describe('PageRequests.addressOf', () => {
  /** The shift happens in a field of 52 bits: the upper ones are lost. */
  class NarrowShift extends PageRequests {
    override addressOf({ page }: { page: number }): bigint {
      return BigInt.asUintN(52, BigInt(page) << 12n);
    }
  }

  /** The CPUs' pages have 64 KiB, and the unit's still 4. */
  class CpuPageShift extends PageRequests {
    override addressOf({ page }: { page: number }): bigint {
      return BigInt.asUintN(64, BigInt(page) << 16n);
    }
  }

  it.each([
    ['none', PageRequests, 0xffff_ffff_ffff_fn],
    ['addr-narrow-shift', NarrowShift, 0xff_ffff_ffffn],
    ['prq-cpu-page-shift', CpuPageShift, 0xf_ffff_ffff_fff0n],
  ])('%s: another page is asked for, and would be made present (L60, PF-8, VTD-34)', (_mutant, Part, page) => {
    const { pages } = after({ PageRequests: Part }, [{ address: 0xffff_ffff_ffff_f000n }]);
    expect(pages.map((seen) => BigInt(seen))).toEqual([page]);
  });
});

describe('PageRequests.findMaster', () => {
  /** The search ends on the first device. */
  class FirstDevice extends PageRequests {
    override *findMaster(): Coroutine<Master | null> {
      const [first] = this.vtd.masters.byStream.values();
      if (first !== undefined) first.refs++;
      return first ?? null;
    }
  }

  it.each([
    ['none', 'IOMMU:0000:00:04.0', PageRequests],
    ['first-device-always', 'IOMMU:0000:00:03.0', FirstDevice],
  ])('%s: the fault is told of %s, whoever asked (L60, IOPF-25)', (_mutant, device, Part) => {
    const bench = new Bench({ levels: 4, parts: { PageRequests: Part } }).boot();
    const ring = new RequestRing(bench);
    bench.do(function* () {
      yield* bench.plug('0000:00:04.0', 0x20);
      ring.ask({ rid: 0x20 });
      yield* bench.kernel.clock.sleep(1000);
    });
    expect(bench.trace.find((line) => line.startsWith('dev_fault'))).toContain(device);
  });
});

describe('PageRequests.isCanonical', () => {
  class AnyAddress extends PageRequests {
    override isCanonical(): boolean {
      return true;
    }
  }

  it.each([
    ['none', 0, PageRequests],
    ['no-canonical-check', 1, AnyAddress],
  ])('%s: an address that is none reaches the mm %i times (L60, VTD-35)', (_mutant, faults, Part) => {
    const { pages, answers } = after({ PageRequests: Part }, [{ address: 0x1234_0000_0000_0000n }]);
    expect(pages).toHaveLength(faults);
    expect(answers).toEqual(['q 500181019 38 0 0']);
  });
});

describe('PageRequests.refuse', () => {
  class Silent extends PageRequests {
    override *refuse(): Coroutine<void> {}
  }

  it.each([
    ['none', PageRequests, ['q 512341019 38 0 0', 'q 500181019 40 0 0']],
    ['no-answer-on-bad', Silent, []],
  ])(
    '%s: requests of nobody, and of no address, are answered, or a device waits for ever (L60, IOPF-24)',
    (_mutant, Part, wanted) => {
      const bad = [{ rid: 0x1234 }, { address: 0x1234_0000_0000_0000n, group: 8 }];
      expect(after({ PageRequests: Part }, bad).answers).toEqual(wanted);
    },
  );

  it.each([
    ['none', PageRequests, ['q 500181019 38 0 0']],
    ['nomem-silent', Silent, []],
  ])(
    '%s: a request that finds no memory is answered, or its device waits for ever (L54, IOPF-8)',
    (_mutant, Part, wanted) => {
      const bench = new Bench({ levels: 4, parts: { PageRequests: Part } }).boot();
      const ring = new RequestRing(bench);
      bench.do(function* () {
        const { injection } = bench.kernel;
        injection.failAt = injection.state.count + 1;
        ring.ask();
        yield* bench.kernel.clock.sleep(1000);
        injection.failAt = 0;
      });
      expect(bench.unit.take()).toEqual(wanted);
    },
  );
});

describe('ThreadFaults', () => {
  const settings = { 'vtd.prq-handler': 'thread' };

  /** What the device's driver is told when a bound page is read and written. */
  function rightsTold(Part: typeof ThreadFaults): number[] {
    const bench = new Bench({ levels: 4, parts: { ThreadFaults: Part }, settings }).boot();
    const ring = new RequestRing(bench);
    const told: number[] = [];
    bench.driver.vtd.threadFaults.setCallback(bench.device, function* ({ rights }) {
      told.push(rights);
    });
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      ring.ask({ pasid: 1, address: va, read: true });
      yield* bench.kernel.clock.sleep(1000);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
    return told;
  }

  class RightsAsThey extends ThreadFaults {
    override rightsWord(perm: number): number {
      return perm;
    }
  }

  it.each([
    ['none', ThreadFaults, [8 | 4]],
    ['fault-cb-wrong-rights', RightsAsThey, [PERM.READ | PERM.WRITE]],
  ])(
    'rightsWord, %s: the driver is told the rights in the places of its word (L60, IOPF-29)',
    (_mutant, Part, told) => {
      expect(rightsTold(Part)).toEqual(told);
    },
  );

  /** What was not found is used all the same. */
  class UsesWhatIsNot extends ThreadFaults {
    override bondOf(): Bond | null {
      return undefined as unknown as Bond;
    }
  }

  it('bondOf, use-null-svm: a PASID that is not found stops the thread, and not found it is answered (L60, IOPF-25)', () => {
    expect(after({}, [{ pasid: 9 }], settings).answers).toEqual(['q 90018f019 38 0 0']);
    expect(() => after({ ThreadFaults: UsesWhatIsNot }, [{ pasid: 9 }], settings)).toThrow(TypeError);
  });
});
