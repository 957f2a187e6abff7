import { DmaEngineDriver } from '@iommukit/dma-engine';
import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { type PartOverrides, parseScenario, type Report, ScenarioRunner } from '@iommukit/scenario';
import { Supervisor } from '@iommukit/vtd-driver';
import { describe, expect, it } from 'vitest';
import { scenarioText } from '../src/files.js';
import { planOf } from '../src/plan.js';
import { iommukit, lines } from './support.js';

const NAME = 'supervisor-pasid';
const MODES = ['vtd.mode=scalable', 'vtd.mode=ecs'] as const;

/** Runs a scenario on VT-d: the built-in one, or another text, maybe with parts replaced. */
async function report(
  parts: PartOverrides = {},
  edit: (text: string) => string = (text) => text,
  set: readonly string[] = [],
): Promise<Report> {
  const plan = await planOf(NAME, { backend: 'vtd', set });
  const scenario = parseScenario(edit((await scenarioText(NAME)).text), 'edited.yaml');
  const runner = new ScenarioRunner({ ...plan, scenario, parts });
  return runner.run(runner.defaultChooser());
}

describe('supervisor-pasid (VTD-42, SVA-20)', () => {
  it.each(MODES)('reaches the 1:1 map, flushes what is taken back, and refuses the rest, with %s', async (mode) => {
    const { code, stdout } = await iommukit(
      ...['run', NAME, '--backend', 'vtd', '--set', mode, '--trace', 'ftrace'],
      ...['--events', 'engine_job,dev_fault,dev_page_response,vtd_supervisor_flush'],
    );
    expect(code).toBe(0);
    // What the process does has another PASID. The buffers of the 1:1 map: target and next lie in the same place.
    const told = lines(stdout).filter((line) => !/pasid=2\b/.test(line));
    const flushes = told.filter((line) => line.startsWith('vtd_supervisor_flush'));
    expect(flushes.length).toBe(3);
    expect(flushes[1]).toBe(flushes[0]);
    const words = told.map((line) => /status=(\w+)/.exec(line)?.[1] ?? line.split(':')[0]);
    expect(words).toEqual([
      ...['submitted', 'done', 'vtd_supervisor_flush'],
      ...['submitted', 'done'],
      ...['submitted', 'dev_fault', 'dev_page_response', 'cancelled'],
      ...['refused', 'vtd_supervisor_flush', 'vtd_supervisor_flush'],
    ]);
    // A request of users, of the kernel's half, is answered INVALID.
    expect(told.find((line) => line.startsWith('dev_fault'))).toMatch(/addr=0xffff8880/);
    expect(told.find((line) => line.startsWith('dev_page_response'))).toMatch(/code=1 pasid=1/);
    const jobs = told.filter((line) => line.startsWith('engine_job'));
    expect(jobs.filter((line) => line.includes(' privileged ')).length).toBe(5);
  });

  it('tells the story in the timeline', async () => {
    const { stdout } = await iommukit('run', NAME, '--backend', 'vtd');
    expect(stdout).toMatch(/engine_job +00:03\.0 PASID 1 privileged copy 8 KiB submitted/);
    expect(stdout).toMatch(/vtd_supervisor_flush +PASID 1 0xffff8880[0-9a-f]{8}-0xffff8880[0-9a-f]{8}/);
    expect(stdout).toMatch(/engine_job +00:03\.0 PASID 1 privileged fill 4 KiB refused/);
    expect(stdout).toMatch(/jobs +3 done, 1 cancelled, 1 refused/);
  });

  it('is refused where there are no supervisor PASIDs', async () => {
    const { code, stderr } = await iommukit('run', NAME);
    expect([code, stderr]).toEqual([
      2,
      'iommukit: supervisor-pasid does not run on smmuv3: it has no supervisor PASIDs\n',
    ]);
  });

  it.each([
    ['the device has no privileged mode', 'privileged: true', 'privileged: false'],
    ['the unit takes no supervisor requests', 'srs: true', 'srs: false'],
  ])('refuses the bind where %s', async (_what, had, has) => {
    const { findings } = await report({}, (text) => text.replace(had, has));
    expect(findings[0]?.story).toMatch(/^driver: supervisor-bind: .*\(ENODEV\)/);
    const { findings: wanted } = await report({}, (text) =>
      text.replace(had, has).replace(/- supervisor-bind[\s\S]*?- unbind/, '- supervisor-bind: ENODEV'),
    );
    expect(wanted).toEqual([]);
  });

  it.each(['supervisor-map: { buffer: b, pages: 1 }', 'supervisor-unmap: source'])(
    'has no %s before supervisor-bind',
    (step) => {
      const text = `
name: wrong
about: No.
platform: { endpoints: [{ at: 0000:00:03.0, model: dma-engine }] }
actors:
  driver: [open: 0000:00:03.0, ${step}]
`;
      expect(() => parseScenario(text, 'wrong.yaml')).toThrow(/put '- supervisor-bind' before it/);
    },
  );
});

/** Gives memory back as if the 1:1 map needed no flush. */
class NoFlush extends DmaEngineDriver {
  override *unmapSupervisor(): Coroutine<void> {}
}
/** The call is made, and nothing is flushed. */
class FlushesNothing extends Supervisor {
  override *flush(): Coroutine<void> {}
}
/** Flushes the unit, and not the devices. */
class FlushesUnitOnly extends Supervisor {
  override *flush(address: bigint, bytes: number): Coroutine<void> {
    const bonds = [...this.bonds];
    this.bonds.clear();
    yield* super.flush(address, bytes);
    for (const [device, bond] of bonds) this.bonds.set(device, bond);
  }
}
/** Any kernel address will do. */
class Anywhere extends Supervisor {
  override checkDirect(): void {}
  override *use(): Coroutine<void> {}
}

describe('one step of it changed', () => {
  it.each([
    [
      'a driver that does not flush',
      { engineDriver: { DmaEngineDriver: NoFlush } },
      'INV-1',
      /ATC still translates page/,
    ],
    [
      'a flush of nothing',
      { driver: { Supervisor: FlushesNothing } },
      'INV-7',
      /ATC uses its line for page .* of PASID 1/,
    ],
    ['a flush of the unit alone', { driver: { Supervisor: FlushesUnitOnly } }, 'INV-7', /ATC uses its line for page/],
    ['a bind that checks no address', { driver: { Supervisor: Anywhere } }, 'scenario', /was not refused with EFAULT/],
  ])('%s is found', async (_what, parts, invariant, story) => {
    const { findings } = await report(parts as PartOverrides);
    expect(findings.map((finding) => finding.invariant)).toContain(invariant);
    expect(findings.map((finding) => finding.story).join('\n')).toMatch(story);
  });

  it('a driver that does not flush is found in the extended-context mode', async () => {
    const { findings } = await report({ engineDriver: { DmaEngineDriver: NoFlush } }, undefined, ['vtd.mode=ecs']);
    expect(findings[0]?.invariant).toBe('INV-1');
  });

  it('memory that is mapped page by page is written after it is free (supervisor-vmalloc)', async () => {
    const plan = await planOf(NAME, { backend: 'vtd' });
    const { text } = await scenarioText(NAME);
    const steps = `- supervisor-bind
    - supervisor-map: { buffer: elsewhere, pages: 1, outside: true }
    - submit: { op: fill, to: elsewhere, endless: true }
    - sleep: 2000
    - supervisor-unmap: elsewhere
    - sleep: 2000
    - stop
    - unbind`;
    const edited = text.replace(/- supervisor-bind[\s\S]*?- unbind/, steps);
    const scenario = parseScenario(edited, 'edited.yaml');
    const refused = new ScenarioRunner({ ...plan, scenario });
    expect(refused.run(refused.defaultChooser()).findings[0]?.story).toMatch(/^driver: submit: .*1:1 map.*EFAULT/);
    const broken = new ScenarioRunner({ ...plan, scenario, parts: { driver: { Supervisor: Anywhere } } });
    const { findings } = broken.run(broken.defaultChooser());
    expect(findings.map((finding) => finding.invariant)).toContain('INV-1');
  });

  it('is found under random schedules too', async () => {
    const plan = await planOf(NAME, { backend: 'vtd' });
    const runner = new ScenarioRunner({ ...plan, parts: { driver: { Supervisor: FlushesNothing } } });
    const found = Array.from({ length: 20 }, (_unused, i) => runner.run(new RandomChooser(3, i)).findings.length > 0);
    expect(found.filter((is) => is).length).toBeGreaterThan(0);
  });
});
