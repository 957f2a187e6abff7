import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { type PartOverrides, parseScenario, ScenarioRunner } from '@iommukit/scenario';
import * as smmuv3 from '@iommukit/smmuv3-driver';
import * as vtd from '@iommukit/vtd-driver';
import { describe, expect, it } from 'vitest';
import { planOf } from '../src/plan.js';

/** A machine with one step replaced, and what its runs must be found to break. */
interface Mutant {
  readonly name: string;
  readonly backend: 'smmuv3' | 'vtd';
  readonly scenario: keyof typeof SCENARIOS;
  readonly driver: PartOverrides['driver'] & object;
  readonly invariant: string;
  readonly story: RegExp;
}

const head = (name: string, about: string): string => `
name: ${name}
about: ${about}
platform: { ats-supported: true, endpoints: [{ at: '0000:00:03.0', model: dma-engine }] }
`;

const SCENARIOS = {
  /** The number of a process that goes on without the device is its child's. */
  reuse: `${head('reuse', 'a PASID is handed out again')}
actors:
  first:
    - open: 0000:00:03.0
    - bind
    - mmap: { buffer: area, pages: 2 }
    - fill: area
    - submit: { op: fill, to: area }
    - wait
    - unbind
    - fork: second
    - join: second
  second:
    - close
    - open: 0000:00:03.0
    - bind
    - submit: { op: fill, to: area, byte: 0x22 }
    - wait
    - unbind
`,
  /** The same, and the device has asked for pages when it is stopped, and does not wait for the answers. */
  asking: `${head('asking', 'a PASID is handed out again while a fault is on its way')}
actors:
  first:
    - open: 0000:00:03.0
    - bind
    - mmap: { buffer: area, pages: 4 }
    - submit: { op: fill, to: area, prefetch: 2 }
    - stop
    - unbind
    - fork: second
    - join: second
  second:
    - close
    - open: 0000:00:03.0
    - bind
    - submit: { op: fill, to: area, byte: 0x22 }
    - wait
    - unbind
set: { stop-kind: marker }
`,
  /** The address space dies while its device goes on, and asks for the entry when it changes. */
  dying: `${head('dying', 'an entry changes while hardware fetches it')}
actors:
  process:
    - open: 0000:00:03.0
    - bind
    - mmap: { buffer: area, pages: 2 }
    - fill: area
    - submit: { op: fill, to: area, endless: true }
    - exec
    - stop
    - unbind
set: { gait: stepwise }
`,
} as const;

// ── numbers that somebody still uses (L21, L22, L25) ─────────────────────────────────────────────────────────────

class UnbindsWithoutFlush extends smmuv3.Sva {
  override *flushAll(): Coroutine<void> {}
}

class FreesAsidWithoutFlush extends smmuv3.Sva {
  override *flushFreedAsid(): Coroutine<void> {}
}

class KeepsEntry extends smmuv3.Sva {
  override *clearEntry(): Coroutine<void> {}
}

class UnbindsWithoutDrain extends smmuv3.Sva {
  override *drainPageRequests(): Coroutine<void> {}
}

class FlushesNoHardwareQueue extends smmuv3.Sva {
  override *flushHardwareQueue(): Coroutine<void> {}
}

class VtdUnbindsWithoutFlush extends vtd.Sva {
  override *flushAll(): Coroutine<void> {}
}

class VtdKeepsPasidCache extends vtd.Sva {
  override *flushFreedEntry(): Coroutine<void> {}
}

class VtdKeepsEntry extends vtd.Sva {
  override *eraseEntry(): Coroutine<void> {}
}

class VtdUnbindsWithoutDrain extends vtd.Sva {
  override *drainPageRequests(): Coroutine<void> {}
}

// ── entries that change in pieces (L48) ──────────────────────────────────────────────────────────────────────────

/** Everything goes at once, V last. */
class TearsDownAtOnce extends smmuv3.EntryWriter {
  override *replaceHitless(...[entry, update, target]: Parameters<smmuv3.EntryWriter['replaceHitless']>) {
    for (let i = 14; i >= 2; i -= 2) yield* this.dma.store64(entry.pa + 4 * i, 0, 0);
    update.current.fill(0, 2);
    yield* super.replaceHitless(entry, update, target);
  }
}

/** The whole entry is zeroed, from its end, while it is present. */
class VtdTearsDownAtOnce extends vtd.PasidTables {
  override *block(...[master, pasid, quiet]: Parameters<vtd.PasidTables['block']>): Coroutine<void> {
    const pa = this.addressOf(master, pasid);
    for (let i = 7; i >= 1; i--) yield* this.vtd.device.dma.store64(pa + 8 * i, 0, 0);
    yield* super.block(master, pasid, quiet);
  }
}

/** P goes, and the rest before anybody has been told. */
class VtdZeroesBeforeFlush extends vtd.PasidTables {
  override *block(...[master, pasid, quiet]: Parameters<vtd.PasidTables['block']>): Coroutine<void> {
    yield* super.block(master, pasid, quiet);
    yield* this.erase(master, pasid, quiet);
  }
}

const MUTANTS: readonly Mutant[] = [
  {
    name: 'unbind-no-flush',
    backend: 'smmuv3',
    scenario: 'reuse',
    driver: { Sva: UnbindsWithoutFlush },
    invariant: 'INV-4',
    story: /is handed out while .* has a line for page 0x[0-9a-f]+ of its last owner/,
  },
  {
    name: 'asid-free-no-flush',
    backend: 'smmuv3',
    scenario: 'reuse',
    driver: { Sva: FreesAsidWithoutFlush },
    invariant: 'INV-4',
    story: /is handed out while smmuv3@9050000 (IOTLB|walk cache) has a line/,
  },
  {
    name: 'unbind-keeps-entry',
    backend: 'smmuv3',
    scenario: 'reuse',
    driver: { Sva: KeepsEntry },
    invariant: 'INV-4',
    story: /the entry of PASID 1 at 0x[0-9a-f]+ of smmuv3@9050000 is not zero/,
  },
  {
    name: 'unbind-no-iopf-flush',
    backend: 'smmuv3',
    scenario: 'asking',
    driver: { Sva: UnbindsWithoutDrain },
    invariant: 'INV-4',
    story: /PASID 1 is handed out while group \d+ of 0000:00:03\.0, asked for mm:1, is not answered/,
  },
  {
    name: 'no-hw-drain',
    backend: 'smmuv3',
    scenario: 'asking',
    driver: { Sva: FlushesNoHardwareQueue },
    invariant: 'INV-19',
    story: /0000:00:03\.0 asked for page 0x[0-9a-f]+ of PASID 1 when that was mm:1, and it is handled in mm:2/,
  },
  {
    name: 'teardown-zero-at-once',
    backend: 'smmuv3',
    scenario: 'dying',
    driver: { EntryWriter: TearsDownAtOnce },
    invariant: 'INV-14',
    story: /smmuv3@9050000 acts on the CD of PASID 1 .* it mixes fields of/,
  },
  {
    name: 'unbind-no-flush',
    backend: 'vtd',
    scenario: 'reuse',
    driver: { Sva: VtdUnbindsWithoutFlush },
    invariant: 'INV-4',
    story: /PASID 1 is handed out while .* has a line for page 0x[0-9a-f]+ of its last owner/,
  },
  {
    name: 'unbind-no-pasid-cache',
    backend: 'vtd',
    scenario: 'reuse',
    driver: { Sva: VtdKeepsPasidCache },
    invariant: 'INV-4',
    story: /PASID 1 is handed out while dmar@fed90000 PASID cache has a line/,
  },
  {
    name: 'unbind-keeps-entry',
    backend: 'vtd',
    scenario: 'reuse',
    driver: { Sva: VtdKeepsEntry },
    invariant: 'INV-4',
    story: /the entry of PASID 1 at 0x[0-9a-f]+ of dmar@fed90000 is not zero/,
  },
  {
    name: 'unbind-no-iopf-flush',
    backend: 'vtd',
    scenario: 'asking',
    driver: { Sva: VtdUnbindsWithoutDrain },
    invariant: 'INV-4',
    story: /PASID 1 is handed out while group \d+ of 0000:00:03\.0, asked for mm:1, is not answered/,
  },
  {
    name: 'no-hw-drain',
    backend: 'vtd',
    scenario: 'asking',
    driver: { Sva: VtdUnbindsWithoutDrain },
    invariant: 'INV-19',
    story: /0000:00:03\.0 asked for page 0x[0-9a-f]+ of PASID 1 when that was mm:1, and it is handled in mm:2/,
  },
  {
    name: 'teardown-zero-at-once',
    backend: 'vtd',
    scenario: 'dying',
    driver: { PasidTables: VtdTearsDownAtOnce },
    invariant: 'INV-14',
    story: /dmar@fed90000 acts on the PASID entry of PASID 1 .* it mixes fields of/,
  },
  {
    name: 'zero-before-flush',
    backend: 'vtd',
    scenario: 'dying',
    driver: { PasidTables: VtdZeroesBeforeFlush },
    invariant: 'INV-14',
    story: /dmar@fed90000 acts on the PASID entry of PASID 1 .* it mixes fields of/,
  },
];

/** Schedules within which a mutant must be found. */
const LIMIT = 3000;

async function runnerOf(scenario: keyof typeof SCENARIOS, backend: string, driver: object): Promise<ScenarioRunner> {
  const parsed = parseScenario(SCENARIOS[scenario], `${scenario}.yaml`);
  const set = Object.entries(parsed.set).map(([key, value]) => `${key}=${value}`);
  const plan = await planOf('buffer-job', { backend, set });
  return new ScenarioRunner({ ...plan, scenario: parsed, parts: { driver } });
}

describe('a machine with one step broken', () => {
  it.each(MUTANTS)('is found by $invariant: $name on $backend', async (mutant) => {
    const runner = await runnerOf(mutant.scenario, mutant.backend, mutant.driver);
    const others = new Set<string>();
    for (let i = 0; i < LIMIT; i++) {
      for (const { invariant, story } of runner.run(new RandomChooser(1, i)).findings) {
        others.add(`${invariant}: ${story}`);
        if (invariant === mutant.invariant && mutant.story.test(story)) return;
      }
    }
    expect.fail(`${LIMIT} schedules found: ${[...others].slice(0, 5).join('\n') || 'nothing'}`);
  });

  const cases = [...new Set(MUTANTS.map(({ scenario, backend }) => `${scenario} ${backend}`))];
  it.each(cases)('passes unbroken: %s', async (which) => {
    const [scenario, backend] = which.split(' ') as [keyof typeof SCENARIOS, string];
    const runner = await runnerOf(scenario, backend, {});
    for (let i = 0; i < 300; i++) {
      const { findings, outcome } = runner.run(new RandomChooser(1, i));
      expect(findings, outcome.token).toEqual([]);
    }
  });
});
