import type { Mm } from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import type { Translation } from '@iommukit/pci-ats';
import type { PartOverrides } from '@iommukit/scenario';
import {
  type Bond,
  DeviceFeatures,
  DmaDomains,
  type Master,
  type NotifierObject,
  PageRequests,
  Sva,
  smmuv3Parts,
} from '@iommukit/smmuv3-driver';
import { smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import * as vtd from '@iommukit/vtd-driver';
import { describe, expect, it } from 'vitest';
import { type Candidate, type ConformanceReport, conformance, type Feature, failuresOf } from '../src/index.js';
import { smmuv3Candidate } from './smmuv3.js';
import { vtdCandidate } from './vtd.js';

/** A backend with one step replaced, rows that must fail, rows that must not, and what one failure must tell. */
interface Broken {
  readonly name: string;
  /** The backend; SMMUv3 unless given. */
  readonly of?: (given: Partial<Candidate>) => Candidate;
  readonly parts: PartOverrides;
  readonly rows: readonly Feature[];
  readonly passes: readonly Feature[];
  readonly told: RegExp;
}

class ForgetsIotlb extends Sva {
  override *flushIotlbRange(): Coroutine<void> {}
}

class ForgetsDeviceTlb extends Sva {
  override *flushDevTlbRange(): Coroutine<void> {}
}

class ClearsEntryOnRelease extends Sva {
  override *quiesceEntry({ domain, context }: NotifierObject): Coroutine<void> {
    yield* this.smmu.contexts.clear(domain, context.mm.pasid);
  }
}

class LeaksBonds extends Sva {
  override freeBond(_bond: Bond): void {}
}

/** SVA-3 is forgotten. */
class MakesSecondHandles extends Sva {
  override findBond(): Bond | null {
    return null;
  }
}

/** IOASID-19 is forgotten. */
class IgnoresWidth extends Sva {
  override allocPasid(_master: Master, mm: Mm): number {
    return this.smmu.core.sva.allocPasid(mm, 1, 2 ** 20 - 1);
  }
}

class ForgetsFeatureOrder extends DeviceFeatures {
  override checkIopfFirst(): void {}
}

class TakesAnotherCode extends Sva {
  override checkEnabled(master: Master): void {
    if (!master.sva) throw new IommuError('EINVAL', 'SVA is not enabled');
  }
}

/** SMMU-19 is forgotten for DMA domains. */
class UnmapsWithoutFlush extends DmaDomains {
  override *flushIotlb(): Coroutine<void> {}
  override *flushDevTlbs(): Coroutine<void> {}
}

class AnswersFailure extends PageRequests {
  override respond(...[master, response]: Parameters<PageRequests['respond']>): Coroutine<void> {
    const code = response.code === 0 ? 0 : 2;
    return super.respond(master, { ...response, code });
  }
}

class AnswersMarkers extends PageRequests {
  override isStopMarker(): boolean {
    return false;
  }
}

class GivesEveryRight extends smmuV3Hardware.parts.Translator {
  override translate(...[stream, pasid, page, want, out]: [number, number, number, number, Translation]): boolean {
    if (super.translate(stream, pasid, page, want, out)) return true;
    return (want & 2) !== 0 && super.translate(stream, pasid, page, want & ~2, out);
  }
}

/** VTD-20 is forgotten. */
class ForgetsFpd extends vtd.Sva {
  override staysQuiet(): boolean {
    return false;
  }
}

/** One page in place of all that were unmapped (MN-17). */
class FlushesFirstPage extends vtd.Sva {
  override rangeOf(...[start]: Parameters<vtd.Sva['rangeOf']>): ReturnType<vtd.Sva['rangeOf']> {
    return super.rangeOf(start, start + 4096n);
  }
}

const BROKEN: readonly Broken[] = [
  {
    name: 'forgets the IOTLB in munmap',
    parts: { driver: { Sva: ForgetsIotlb } },
    rows: ['coherence', 'encodings'],
    passes: ['lifeCycle', 'featureOrder', 'dmaDomains'],
    told: /munmap: the device loses the pages.*INV-[17]/s,
  },
  {
    name: "forgets devices' caches in munmap",
    parts: { driver: { Sva: ForgetsDeviceTlb } },
    rows: ['coherence', 'ats', 'encodings'],
    passes: ['lifeCycle', 'featureOrder', 'stall', 'dmaDomains'],
    told: /tells the device of every page that goes/,
  },
  {
    name: 'clears the entry when the process dies, so that what comes is recorded',
    parts: { driver: { Sva: ClearsEntryOnRelease } },
    rows: ['coherence', 'exit'],
    passes: ['lifeCycle', 'bind', 'pageFaults', 'dmaDomains'],
    told: /ends quietly between death and unbind.*INV-5/s,
  },
  {
    name: 'leaks bonds',
    parts: { driver: { Sva: LeaksBonds } },
    rows: ['bind', 'exit', 'noMemory'],
    passes: ['severalDevices'],
    told: /sva bond: 1 at the end, 0 after boot/,
  },
  {
    name: 'makes a second handle for a second bind',
    parts: { driver: { Sva: MakesSecondHandles } },
    rows: ['bind'],
    passes: ['exit', 'isolation', 'coherence', 'noMemory'],
    told: /two binds of one device and process give one handle/,
  },
  {
    name: 'hands out PASIDs that the device cannot send',
    parts: { driver: { Sva: IgnoresWidth } },
    rows: ['pasidWidth'],
    passes: ['bind', 'isolation', 'encodings'],
    told: /PASID 2 on a device of one bit/,
  },
  {
    name: 'enables SVA before page faults',
    parts: { driver: { DeviceFeatures: ForgetsFeatureOrder } },
    rows: ['featureOrder'],
    passes: ['lifeCycle', 'bind', 'exit', 'noMemory'],
    told: /enabling SVA before IOPF: it was done, not EINVAL/,
  },
  {
    name: 'refuses with another code',
    parts: { driver: { Sva: TakesAnotherCode } },
    rows: ['featureOrder'],
    passes: ['lifeCycle', 'bind', 'exit', 'noMemory'],
    told: /binding without SVA: it threw EINVAL, not ENODEV/,
  },
  {
    name: 'unmaps from DMA domains without a flush',
    parts: { driver: { DmaDomains: UnmapsWithoutFlush } },
    rows: ['dmaDomains', 'severalDevices', 'requestsWithoutPasid', 'encodings'],
    passes: ['coherence', 'exit', 'isolation', 'ats'],
    told: /unmaps memory: when unmap returns/,
  },
  {
    name: "answers a process's mistake with Response Failure",
    parts: { driver: { PageRequests: AnswersFailure } },
    rows: ['pri', 'pageGroups', 'encodings'],
    passes: ['bind', 'stall', 'dmaDomains', 'ats'],
    told: /answers INVALID to an unknown PASID/,
  },
  {
    name: 'answers stop markers',
    parts: { driver: { PageRequests: AnswersMarkers } },
    rows: ['pri'],
    passes: ['bind', 'pageGroups', 'overflow', 'ats'],
    told: /answers nothing to a stop marker/,
  },
  {
    name: 'gives the right to write where there is none',
    parts: { hardware: { Translator: GivesEveryRight } },
    rows: ['translation', 'pageFaults', 'coherence'],
    passes: ['lifeCycle', 'exit', 'severalDevices'],
    told: /agrees with the tables/,
  },
  {
    name: 'leaves no FPD behind when the process dies',
    of: vtdCandidate,
    parts: { driver: { Sva: ForgetsFpd } },
    rows: ['exit', 'quietDeath'],
    passes: ['lifeCycle', 'bind', 'isolation', 'dmaDomains'],
    told: /ends quietly between death and unbind.*INV-5/s,
  },
  {
    name: 'flushes the first page of a range only',
    of: vtdCandidate,
    parts: { driver: { Sva: FlushesFirstPage } },
    rows: ['coherence', 'ats', 'encodings'],
    passes: ['lifeCycle', 'featureOrder', 'exit', 'dmaDomains'],
    told: /tells the device of every page that goes/,
  },
];

/** Runs the whole kit, and lets failures pass. */
function reportFor(parts: PartOverrides, of: (given: Partial<Candidate>) => Candidate): ConformanceReport {
  const bodies: (() => void)[] = [];
  const kit = conformance({
    test: (_name, body) => bodies.push(body),
    create: () => of({ parts }),
    schedules: 2,
  });
  for (const body of bodies) {
    try {
      body();
    } catch {
      // The report says so.
    }
  }
  return kit.report();
}

function failedRows(report: ConformanceReport): readonly Feature[] {
  return report.features.filter(({ verdict }) => verdict === 'FAIL').map(({ feature }) => feature);
}

describe('a backend with one step broken', () => {
  it.each(BROKEN)('fails the kit where it $name', ({ parts, of = smmuv3Candidate, rows, passes, told }) => {
    const report = reportFor(parts, of);
    const failed = failedRows(report);
    expect(failed).toEqual(expect.arrayContaining([...rows]));
    for (const row of passes) expect(failed).not.toContain(row);
    expect(failuresOf(report)).toContainEqual(expect.stringMatching(told));
  });

  it('passes where nothing is broken', () => {
    expect(failedRows(reportFor({ driver: smmuv3Parts }, smmuv3Candidate))).toEqual([]);
    expect(failedRows(reportFor({ driver: vtd.vtdParts }, vtdCandidate))).toEqual([]);
  });
});
