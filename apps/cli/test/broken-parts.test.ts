import {
  coreParts,
  FaultReports,
  type Gather,
  Mappings,
  type Mm,
  type OpenFile,
  type Process,
  Processes,
} from '@iommukit/core';
import { DmaEngineDriver, MemoryPort } from '@iommukit/dma-engine';
import type { IopfQueue } from '@iommukit/iopf-queue';
import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { AT, Atc, PageRequestInterface, type TranslationOutcome } from '@iommukit/pci-ats';
import { type PartOverrides, type Report, ScenarioRunner } from '@iommukit/scenario';
import {
  type Bond,
  type NotifierObject,
  type SharedContext,
  SharedContexts,
  Sva,
  smmuv3Parts,
} from '@iommukit/smmuv3-driver';
import { Iotlb } from '@iommukit/smmuv3-hardware';
import { describe, expect, it } from 'vitest';
import { planOf } from '../src/plan.js';

/** A machine with one step replaced, what must be found, and in which scenario. */
interface Broken {
  readonly name: string;
  readonly scenario: string;
  readonly parts: PartOverrides;
  /** Any of these is a correct verdict. */
  readonly invariants: readonly string[];
  /** What a story must tell. */
  readonly story: RegExp;
  /** And what another one must. */
  readonly and?: RegExp;
  /** Random schedules within which it must be found; none: in the scenario's own run. */
  readonly schedules?: number;
}

async function runs(scenario: string, parts: PartOverrides, schedules: number): Promise<Report[]> {
  const runner = new ScenarioRunner({ ...(await planOf(scenario, { backend: 'smmuv3' })), parts });
  if (schedules === 0) return [runner.run(runner.defaultChooser())];
  const reports: Report[] = [];
  for (let i = 0; i < schedules; i++) {
    const report = runner.run(new RandomChooser(1, i));
    reports.push(report);
    if (report.findings.length > 0) break;
  }
  return reports;
}

// ── what is left behind, freed twice, or touched too late ────────────────────────────────────────────────────────

class LeaksFrame extends Mappings {
  override freeGather(gather: Gather): void {
    super.freeGather({ ...gather, pages: gather.pages.slice(1) });
  }
}

class FreesFrameTwice extends Mappings {
  override freeGather(gather: Gather): void {
    super.freeGather(gather);
    super.freeGather({ ...gather, tables: [] });
  }
}

class LeaksBond extends Sva {
  override freeBond(): void {}
}

class FreesBondTwice extends Sva {
  override freeBond(bond: Bond): void {
    this.bonds.free(bond);
    this.bonds.free(bond);
  }
}

class TouchesFreedBond extends Sva {
  override freeBond(bond: Bond): void {
    super.freeBond(bond);
    bond.refs--;
  }
}

class LeaksPasid extends Sva {
  override freePasid(): void {}
}

class FreesPasidTwice extends Sva {
  override freePasid(mm: Mm): void {
    this.smmu.core.ioasid.put(mm.pasid);
    super.freePasid(mm);
  }
}

class LeaksContext extends SharedContexts {
  override *put(_context: SharedContext): Coroutine<void> {}
}

class LeaksEngineFile extends DmaEngineDriver {
  override *release(file: OpenFile): Coroutine<void> {
    if ((file.data as { phase: string }).phase === 'bound') yield* this.unbind(file);
  }
}

class NeverUnbinds extends DmaEngineDriver {
  override *release(file: OpenFile): Coroutine<void> {
    this.slab.free(file.data as never);
    yield* [];
  }
}

/** The process's files stay open: the device is never released. */
class ForgetsFiles extends Processes {
  override *exitFiles(_process: Process): Coroutine<void> {}
}

// ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────

class AnswersTwice extends FaultReports {
  override *answer(...about: Parameters<FaultReports['answer']>): Coroutine<boolean> {
    const [data, pasid, group, code] = about;
    const sent = yield* super.answer(...about);
    const { device, driver } = data.route;
    this.answered(device, pasid, group, code);
    yield* driver.respond(device, { pasid, group, code });
    return sent;
  }
}

class QueueAnswersTwice extends smmuv3Parts.IopfQueue {
  override *respond(...[group, code]: Parameters<IopfQueue['respond']>): Coroutine<void> {
    yield* super.respond(group, code);
    yield* super.respond(group, code);
  }
}

class NeverAnswers extends smmuv3Parts.IopfQueue {
  override *respond(): Coroutine<void> {}
}

// ── what munmap and release must do ──────────────────────────────────────────────────────────────────────────────

class SkipsIotlbFlush extends Sva {
  override *flushIotlbRange(): Coroutine<void> {}
}

class SkipsAtcFlush extends Sva {
  override *flushDevTlbRange(): Coroutine<void> {}
}

class ClearsV extends Sva {
  override *quiesceEntry({ domain, context }: NotifierObject): Coroutine<void> {
    yield* this.smmu.contexts.clear(domain, context.mm.pasid);
  }
}

class KeepsEntryWalkable extends Sva {
  override *quiesceEntry(): Coroutine<void> {}
}

class ForgetsToFlushOnRelease extends Sva {
  override *flushIotlb(): Coroutine<void> {}
}

// ── the SMMU ─────────────────────────────────────────────────────────────────────────────────────────────────────

class KeepsTranslations extends Iotlb {
  override dropRange(): void {}
}

// ── the device ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Says that an invalidation is complete, and keeps the lines. */
class KeepsLines extends Atc {
  override dropRange(): number[] {
    return [];
  }
}

/**
 * Sends untranslated what it gets no translation for, as some devices do. The SMMU records nothing for a translation
 * request that meets a broken context descriptor; for an untranslated access it does (smmuv3.md 5.3).
 */
class FallsBack extends MemoryPort {
  override *translate(...[pasid, page, want]: Parameters<MemoryPort['translate']>): Coroutine<TranslationOutcome> {
    const outcome = yield* super.translate(pasid, page, want);
    if (outcome !== 'ca') return outcome;
    const data = new Uint8Array(8);
    yield* this.engine.link.up({ kind: 'write', at: AT.UNTRANSLATED, pasid, page, offset: 0, data, witness: 0 });
    return outcome;
  }
}

class KeepsCredits extends PageRequestInterface {
  override close(...[group, code]: Parameters<PageRequestInterface['close']>): void {
    super.close(group, code);
    this.state.outstanding = this.limit;
  }
}

const BROKEN: readonly Broken[] = [
  {
    name: 'a frame is not freed',
    scenario: 'buffer-job',
    parts: { core: { Mappings: LeaksFrame } },
    invariants: ['INV-9'],
    story: /^frames: \d+ at the end, \d+ after boot$/,
    and: /^mm:1 page: 2 frames$/,
  },
  {
    name: 'a frame is freed twice',
    scenario: 'buffer-job',
    parts: { core: { Mappings: FreesFrameTwice } },
    invariants: ['INV-9'],
    story: /frame 0x[0-9a-f]+ is freed, but it was freed by process at step \d+; its last owner was mm:1 page/,
  },
  {
    name: 'a bond is not freed',
    scenario: 'buffer-job',
    parts: { driver: { Sva: LeaksBond } },
    invariants: ['INV-9'],
    story: /^sva bond: 1 at the end, 0 after boot$/,
    and: /^sva bond 1 was allocated by process at step \d+$/,
  },
  {
    name: 'a bond is freed twice',
    scenario: 'buffer-job',
    parts: { driver: { Sva: FreesBondTwice } },
    invariants: ['INV-9'],
    story: /sva bond 1 is freed twice \(first by process at step \d+\)/,
  },
  {
    name: 'a freed bond is touched',
    scenario: 'buffer-job',
    parts: { driver: { Sva: TouchesFreedBond } },
    invariants: ['INV-9'],
    story: /sva bond 1 was freed by process at step \d+; its refs is touched/,
  },
  {
    name: 'a PASID is not freed',
    scenario: 'buffer-job',
    parts: { driver: { Sva: LeaksPasid } },
    invariants: ['INV-9'],
    story: /(PASIDs|ioasid): 1 at the end, 0 after boot/,
  },
  {
    name: 'a PASID is freed twice',
    scenario: 'buffer-job',
    parts: { driver: { Sva: FreesPasidTwice } },
    invariants: ['INV-9'],
    story: /PASID 1 is dropped, which is not allocated/,
  },
  {
    name: 'an ASID is not freed',
    scenario: 'killed-job',
    parts: { driver: { SharedContexts: LeaksContext } },
    invariants: ['INV-9'],
    story: /smmuv3 shared context: 1 at the end, 0 after boot/,
  },
  {
    name: 'the device driver does not free what it keeps of a file',
    scenario: 'page-groups',
    parts: { engineDriver: { DmaEngineDriver: LeaksEngineFile } },
    invariants: ['INV-9'],
    story: /engine file: 1 at the end, 0 after boot/,
  },
  {
    name: 'a file is released while its device is bound',
    scenario: 'killed-job',
    parts: { engineDriver: { DmaEngineDriver: NeverUnbinds } },
    invariants: ['INV-9'],
    story: /irq-0000:00:03\.0: file 1 was freed by \S+ at step \d+; its data is touched/,
  },
  {
    name: 'exit forgets the open files',
    scenario: 'two-processes',
    parts: { core: { Processes: ForgetsFiles } },
    invariants: ['INV-9'],
    story: /^file: 2 at the end, 0 after boot$/,
    and: /^file 1 was allocated by first at step \d+$/,
  },
  {
    name: 'a group is answered twice',
    scenario: 'buffer-job',
    parts: { core: { FaultReports: AnswersTwice } },
    invariants: ['INV-3'],
    story: /0000:00:03\.0 is answered for group 0 of PASID 1, which is not pending/,
  },
  {
    name: 'the fault queue answers a group twice',
    scenario: 'buffer-job',
    parts: { driver: { IopfQueue: QueueAnswersTwice } },
    invariants: ['uncaught'],
    story: /fault-worker.* threw .*waits for no answer to group 0 of PASID 1/,
  },
  {
    name: 'a group is never answered',
    scenario: 'buffer-job',
    parts: { driver: { IopfQueue: NeverAnswers } },
    invariants: ['INV-11', 'INV-3'],
    story: /engine\/0000:00:03\.0 waits for a page request group to be answered/,
  },
  {
    name: 'munmap does not flush the IOTLB',
    scenario: 'partial-unmap',
    parts: { driver: { Sva: SkipsIotlbFlush } },
    invariants: ['INV-7', 'INV-1'],
    story: /IOTLB .*page 0x[0-9a-f]+ of PASID 1/,
  },
  {
    name: 'munmap does not flush the ATC',
    scenario: 'partial-unmap',
    parts: { driver: { Sva: SkipsAtcFlush } },
    invariants: ['INV-7', 'INV-1'],
    story: /0000:00:03\.0 ATC .*page 0x[0-9a-f]+ of PASID 1/,
  },
  {
    name: 'the SMMU keeps translations that it was told to drop',
    scenario: 'partial-unmap',
    parts: { hardware: { Iotlb: KeepsTranslations } },
    invariants: ['INV-7', 'INV-1'],
    story: /IOTLB .*page 0x[0-9a-f]+ of PASID 1/,
  },
  {
    name: 'the device completes invalidations and keeps the lines',
    scenario: 'partial-unmap',
    parts: { engine: { Atc: KeepsLines } },
    invariants: ['INV-7', 'INV-1'],
    story: /0000:00:03\.0 ATC .*page 0x[0-9a-f]+ of PASID 1/,
  },
  {
    name: 'release clears CD.V',
    scenario: 'killed-job',
    parts: { driver: { Sva: ClearsV }, engine: { MemoryPort: FallsBack } },
    invariants: ['INV-5'],
    story: /records C_BAD_CD for stream 0x18, PASID 1, whose process is dying/,
  },
  {
    name: 'release keeps the entry walkable',
    scenario: 'killed-job',
    parts: { driver: { Sva: KeepsEntryWalkable } },
    invariants: ['INV-1', 'INV-2', 'INV-7'],
    story: /IOTLB uses its line for page 0x[0-9a-f]+ of PASID 1, .*after an invalidation/,
    schedules: 2000,
  },
  {
    name: 'release does not flush the IOTLB',
    scenario: 'killed-job',
    parts: { driver: { Sva: ForgetsToFlushOnRelease } },
    invariants: ['INV-1', 'INV-2', 'INV-7'],
    story: /IOTLB uses its line for page 0x[0-9a-f]+ of PASID 1, .*after an invalidation/,
    schedules: 2000,
  },
  {
    name: 'the device never gets its credits back',
    scenario: 'page-groups',
    parts: { engine: { PageRequestInterface: KeepsCredits } },
    invariants: ['INV-11'],
    story: /waits for credit for page requests/,
  },
];

describe('a machine with one step broken', () => {
  it.each(BROKEN)('fails when $name', async ({ scenario, parts, invariants, story, and = story, schedules = 0 }) => {
    const reports = await runs(scenario, parts, schedules);
    const { findings } = reports.at(-1)!;
    const stories = findings
      .filter((finding) => invariants.includes(finding.invariant))
      .map((finding) => finding.story);
    expect(stories, JSON.stringify(findings)).not.toEqual([]);
    expect(stories).toContainEqual(expect.stringMatching(story));
    expect(stories).toContainEqual(expect.stringMatching(and));
  });

  it.each([...new Set(BROKEN.map(({ scenario }) => scenario))])('passes unbroken: %s', async (scenario) => {
    const unbroken: PartOverrides = { core: coreParts, driver: smmuv3Parts, engine: { MemoryPort: FallsBack } };
    expect((await runs(scenario, unbroken, 0))[0]!.findings).toEqual([]);
    for (const { findings } of await runs(scenario, unbroken, 200)) expect(findings).toEqual([]);
  });

  it('is another machine: its tokens do not replay on a whole one', async () => {
    const plan = await planOf('buffer-job', { backend: 'smmuv3' });
    const broken = new ScenarioRunner({ ...plan, parts: { driver: { Sva: LeaksBond } } });
    expect(broken.hash).not.toBe(new ScenarioRunner(plan).hash);
  });

  it('refuses a part that there is not', async () => {
    const plan = await planOf('buffer-job', { backend: 'smmuv3' });
    expect(() => new ScenarioRunner({ ...plan, parts: { driver: { Svaa: Sva } } })).toThrow(
      /no part is called 'Svaa'; there are Asids, CommandQueue,.* Sva/,
    );
  });
});
