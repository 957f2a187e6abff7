import { describe, expect, it } from 'vitest';
import { eventWords } from '../src/output/event-words.js';
import { shortTasks } from '../src/output/short-names.js';
import { atTerminal, iommukit, lines } from './support.js';

const SCENARIOS = ['buffer-job', 'killed-job', 'page-groups', 'partial-unmap', 'two-processes'];
const ESCAPE = '\u001b';

/** The rows of a timeline: step, lanes, actor, event, words. */
function rows(stdout: string): RegExpExecArray[] {
  const joined = stdout.replace(/\n {30,}/g, ' ');
  return lines(joined)
    .map((line) => /^ *(\d+) {2}([·●]+) {2}(\S+) +(\w+) *(.*)$/.exec(line))
    .filter((row) => row !== null);
}

describe('the output for people', () => {
  it.each(SCENARIOS)('is at most 100 columns wide but for the command to copy: %s', async (scenario) => {
    const { stdout } = await iommukit('run', scenario, '--events', 'all');
    const wide = lines(stdout).filter((line) => [...line].length > 100 && !line.startsWith('replay'));
    expect(wide).toEqual([]);
  });

  it('fits 100 columns in start and --list', async () => {
    const outputs = await Promise.all([iommukit('start'), iommukit('run', '--list')]);
    const wide = outputs.flatMap(({ stdout }) => lines(stdout)).filter((line) => [...line].length > 100);
    expect(wide).toEqual([]);
  });

  it.each(SCENARIOS)('tells every event of the trace, in order, with its addresses: %s', async (scenario) => {
    const [people, json] = await Promise.all([
      iommukit('run', scenario, '--events', 'all'),
      iommukit('run', scenario, '--events', 'all', '--trace', 'json'),
    ]);
    const events = lines(json.stdout).map((line) => JSON.parse(line) as Record<string, unknown>);
    const told = rows(people.stdout);
    expect(told.map(([, step, , , event]) => `${step} ${event}`)).toEqual(
      events.map(({ step, event }) => `${step} ${event}`),
    );
    events.forEach((event, i) => {
      for (const key of ['addr', 'start', 'end'])
        if (event[key] !== undefined) expect(told[i]![5]).toContain(event[key]);
      if (typeof event['pasid'] === 'number') expect(told[i]![5]).toContain(`PASID ${event['pasid']}`);
    });
  });

  it('gives each actor a lane of its own', async () => {
    const told = rows((await iommukit('run', 'killed-job')).stdout);
    const lanes = new Map(told.map(([, , lane, actor]) => [actor, lane]));
    expect(new Set(lanes.values()).size).toBe(lanes.size);
    for (const [, , lane, actor] of told) expect(lane).toBe(lanes.get(actor));
  });

  it('has colour on a terminal only', async () => {
    expect((await iommukit('run', 'buffer-job')).stdout).not.toContain(ESCAPE);
    expect((await atTerminal('run', 'buffer-job')).stdout).toContain(`${ESCAPE}[`);
    const { stdout } = await atTerminal('run', 'buffer-job', '--trace', 'ftrace');
    expect(stdout).not.toContain(ESCAPE);
  });
});

describe('the verdict', () => {
  it('tells the machine: the overlay, and what models can do by default', async () => {
    const { stdout } = await iommukit('run', 'buffer-job');
    expect(stdout).toMatch(/machine +linux,dummy-virt \(devicetree\), backend smmuv3/);
    expect(stdout).toMatch(/root complex +ats-supported yes\n/);
    expect(stdout).toMatch(
      /0000:00:03\.0 +dma-engine, root-complex integrated endpoint: ATS, PRI, PASID width 20; its defaults/,
    );
    expect(stdout).toMatch(/smmuv3 +ATS, PRI, SSIDSIZE 20, stall optional; its defaults/);
  });

  it('tells a VT-d unit by its own names', async () => {
    const { stdout } = await iommukit('run', 'two-units', '--backend', 'vtd');
    expect(stdout).toMatch(/\n +vtd +DT, PRS, PSS 19; its defaults\n/);
    expect(stdout).toMatch(/narrow@fed91000 +another unit of its kind: DT, PRS, PSS 0; given: pss; else its defaults/);
  });

  it('counts pages, faults, responses, invalidations and leaks', async () => {
    const { stdout } = await iommukit('run', 'page-groups');
    for (const row of [
      'jobs +2 done',
      'pages moved +8',
      'page faults +8',
      'responses +2 \\(2 SUCCESS\\)',
      'invalidations +4',
      'leaks +none',
    ])
      expect(stdout).toMatch(new RegExp(`^${row}$`, 'm'));
  });
});

describe('shortTasks', () => {
  it('leaves out what tells no two tasks apart', () => {
    const names = ['process', 'engine/0000:00:03.0', 'irq-smmuv3@9050000-priq', 'fault-worker/1'];
    expect([...shortTasks(names).values()]).toEqual(['process', 'engine', 'irq-priq', 'fault-worker']);
  });

  it('keeps what does', () => {
    const names = ['engine/0000:00:03.0', 'engine/0000:00:04.0', 'irq-smmuv3@9050000-priq', 'irq-smmuv3@a050000-priq'];
    expect([...shortTasks(names).values()]).toEqual(['engine/00:03.0', 'engine/00:04.0', names[2], names[3]]);
  });
});

describe('a fault that nobody handles', () => {
  it.each([
    ['smmuv3', /smmu_event .* F_TRANSLATION client: 0000:00:03\.0 .* iova: 0x10000000 /],
    ['vtd', /vtd_fault .*\[DMA Read NO_PASID\] Request device \[00:03\.0\] fault addr 0x10000000 /],
  ])('is in the timeline, with device and address: %s', async (backend, told) => {
    const { stdout } = await iommukit('run', 'classic-domain', '--backend', backend);
    expect(stdout.replace(/\n {30,}/g, ' ')).toMatch(told);
  });

  it('has null for the PASID of a request without one in JSON', async () => {
    const argv = ['run', 'classic-domain', '--backend', 'vtd', '--trace', 'json', '--events', 'vtd_fault'];
    const { stdout } = await iommukit(...argv);
    expect(JSON.parse(lines(stdout)[0]!)).toMatchObject({ event: 'vtd_fault', sid: 0x18, pasid: null });
  });
});

describe('a device that sends no PASIDs', () => {
  it('is told of in words, and as null in JSON, never as a number', async () => {
    const { stdout } = await iommukit('run', 'without-pasid', '--events', 'all');
    expect(stdout).toMatch(/engine_job +00:03\.0 without PASID copy 8 KiB submitted/);
    expect(stdout).not.toMatch(/PASID -|PASID null/);
    const { stdout: text } = await iommukit('run', 'without-pasid', '--trace', 'ftrace', '--events', 'all');
    expect(text).toMatch(/^engine_job: dev=0000:00:03\.0 pasid=none op=copy bytes=8192 status=submitted$/m);
    const json = await iommukit('run', 'without-pasid', '--trace', 'json', '--events', 'engine_job,engine_dma');
    const pasids = lines(json.stdout).map((line) => (JSON.parse(line) as { pasid: unknown }).pasid);
    expect(pasids.length).toBeGreaterThan(6);
    expect(new Set(pasids)).toEqual(new Set([null]));
  });
});

describe('eventWords', () => {
  it('prints events with unknown fields as the kernel does', () => {
    const point = { name: 'x', format: () => 'a=1 secret=2' };
    expect(eventWords({ point, record: { dev: '0000:00:03.0', secret: 2 } })).toBe('a=1 secret=2');
  });

  it('leaves nothing out that is unusual', () => {
    const point = { name: 'dev_fault', format: () => '' };
    const record = { dev: '0001:00:03.0', type: 1, reason: 3, addr: 0x1000n, pasid: null, group: 4, flags: 0, prot: 3 };
    expect(eventWords({ point, record })).toBe(
      '0001:00:03.0 without PASID read+write 0x1000 group 4 more type=1 reason=3',
    );
  });
});
