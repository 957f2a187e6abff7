import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { acpi, tempFile, tempPath, variant, virtDtb } from './files.js';
import { atTerminal, golden, iommukit, lines, normalise } from './support.js';

const SCENARIOS = ['buffer-job', 'killed-job', 'page-groups', 'partial-unmap', 'two-processes'];

describe('iommukit run --list', () => {
  it('names every built-in scenario', async () => {
    const { stdout } = await iommukit('run', '--list');
    for (const name of SCENARIOS) expect(stdout).toMatch(new RegExp(`^${name} +\\S`, 'm'));
  });
});

describe('--events', () => {
  const names = (stdout: string): string[] => [
    ...new Set(lines(stdout).map((line) => line.slice(0, line.indexOf(':')))),
  ];

  it('shows the events of its list only', async () => {
    const { stdout } = await iommukit('run', 'buffer-job', '--trace', 'ftrace', '--events', 'dev_fault, engine_dma');
    expect(names(stdout)).toEqual(['engine_dma', 'dev_fault']);
  });

  it.each(SCENARIOS)('all shows only events that it also takes by name: %s', async (scenario) => {
    const { stdout } = await iommukit('run', scenario, '--trace', 'ftrace', '--events', 'all');
    const all = names(stdout);
    expect(all.length).toBeGreaterThan(12);
    const { stdout: same } = await iommukit('run', scenario, '--trace', 'ftrace', '--events', all.join());
    expect(same).toBe(stdout);
  });
});

describe('--trace', () => {
  it('json prints one object a line, with step, task and the fields', async () => {
    const { stdout } = await iommukit('run', 'buffer-job', '--trace', 'json');
    const events = lines(stdout).map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events.length).toBe(10);
    expect(events[0]).toMatchObject({ event: 'smmu_bind_alloc', task: 'process', dev: '0000:00:03.0', pasid: 1 });
  });

  it.each(['all', 'dev_fault'])(
    'perfetto prints one JSON document with one track a task: --events %s',
    async (which) => {
      const { stdout } = await iommukit('run', 'two-processes', '--trace', 'perfetto', '--events', which);
      const { traceEvents } = JSON.parse(stdout) as {
        traceEvents: { ph: string; tid: number; ts?: number; args: { name?: string } }[];
      };
      const tracks = traceEvents.filter(({ ph }) => ph === 'M');
      const events = traceEvents.filter(({ ph }) => ph === 'X');
      expect(new Set(tracks.map(({ tid }) => tid)).size).toBe(tracks.length);
      expect(new Set(tracks.map(({ args }) => args.name)).size).toBe(tracks.length);
      expect(new Set(events.map(({ tid }) => tid))).toEqual(new Set(tracks.map(({ tid }) => tid)));
      const times = events.map(({ ts }) => ts!);
      expect(times).toEqual([...times].sort((a, b) => a - b));
    },
  );

  it('puts the verdict on stderr, or with --out on stdout', async () => {
    const out = tempPath('trace.txt');
    const { code, stdout, stderr } = await iommukit('run', 'buffer-job', '--trace', 'ftrace', '--out', out);
    expect(normalise(lines(readFileSync(out, 'utf8')))).toEqual(normalise(golden('smmuv3-buffer-job')));
    expect(stdout).toMatch(/^buffer-job\nverdict +fine/);
    expect([code, stderr]).toEqual([0, '']);
  });
});

describe('--platform', () => {
  it('runs on the devicetree as it is and packed, and on the machine that ships with the command', async () => {
    const packed = new URL('./virt.dtb.xz', import.meta.url).pathname;
    const plain = tempFile('mine.dtb', virtDtb());
    const runs = [[], ['--platform', plain], ['--platform', packed]].map((flags) =>
      iommukit('run', 'buffer-job', '--trace', 'ftrace', ...flags),
    );
    const [own, same, unpacked] = await Promise.all(runs);
    expect(same!.stdout).toBe(own!.stdout);
    expect(unpacked!.stdout).toBe(own!.stdout);
    expect(same!.stderr).toContain(`--platform ${plain} --schedule`);
  });

  it('runs on an ACPI IORT, alone and with the MCFG beside it, as on the devicetree of the same machine', async () => {
    const [alone, beside] = [tempFile('alone-IORT', acpi('iort')), tempFile('IORT.aml', acpi('iort'))];
    tempFile('MCFG.aml', acpi('mcfg'));
    const [own, one, both] = await Promise.all(
      [[], ['--platform', alone], ['--platform', beside]].map((flags) =>
        iommukit('run', 'killed-job', '--trace', 'ftrace', ...flags),
      ),
    );
    expect([one!.stdout, both!.stdout]).toEqual([own!.stdout, own!.stdout]);
    expect(one!.stderr).toContain('BOCHS BXPC: IORT, the rest as virt.dtb (acpi)');
    expect(both!.stderr).toContain('BOCHS BXPC: IORT and MCFG, the rest as virt.dtb (acpi)');
  });
});

describe('--set', () => {
  it.each([
    ['mn.duplicate=off'],
    ['stop-kind=marker'],
    ['smmuv3.cmdq-entries=2'],
    ['smmuv3.cmdq-entries=4096'],
    ['smmuv3.evtq-entries=2'],
    ['smmuv3.priq-entries=2'],
    ['alloc-fail=1000000'],
  ])('runs every scenario without a finding with %s', async (setting) => {
    for (const scenario of SCENARIOS) {
      const { code, stdout } = await iommukit('run', scenario, '--set', setting);
      expect(stdout).toMatch(new RegExp(`settings(.|\\n)*${setting.replace('.', '\\.')}`));
      expect(stdout).toMatch(
        new RegExp(`npx iommukit run ${scenario} --set ${setting.replace('.', '\\.')} --schedule`),
      );
      expect([scenario, code]).toEqual([scenario, 0]);
    }
  });

  it('overrides what the scenario sets, and the last one counts', async () => {
    const file = variant('buffer-job', 'actors:', 'set: { mn.duplicate: off }\nactors:');
    const invalidations = async (...flags: string[]): Promise<string> =>
      /invalidations +(\d+)/.exec((await iommukit('run', file, ...flags)).stdout)![1]!;
    expect(await invalidations()).toBe('2');
    expect(await invalidations('--set', 'mn.duplicate=on')).toBe('4');
    expect(await invalidations('--set', 'mn.duplicate=on', '--set', 'mn.duplicate=off')).toBe('2');
  });
});

describe('schedules', () => {
  it('are the same for the same seed, and replayed by the printed command', async () => {
    const [one, again] = await Promise.all([1, 2].map(() => iommukit('run', 'two-processes', '--seed', '7')));
    expect(again!.stdout).toBe(one!.stdout);
    const command = /npx iommukit (run two-processes --schedule \S+)\n/.exec(one!.stdout)![1]!;
    const replayed = await iommukit(...command.split(' '));
    expect(replayed.stdout).toBe(one!.stdout);
  });

  it('ignore the order when a seed is given', async () => {
    const impossible = variant(
      'killed-job',
      'fault-worker.mmget < process.exit-mm < fault-worker.mmput',
      'process.exit-mm < process.bind',
    );
    expect((await iommukit('run', impossible)).code).toBe(2);
    expect((await iommukit('run', impossible, '--seed', '3')).code).toBe(0);
    expect((await iommukit('run', impossible, '--schedules', '20')).code).toBe(0);
  });

  it('follow several chains at once, and steps of processes', async () => {
    const chains =
      '[fault-worker.mmget < process.exit-mm, process.submit < process.exit, process.exit-mm < fault-worker.mmput]';
    const file = variant('killed-job', 'fault-worker.mmget < process.exit-mm < fault-worker.mmput', chains);
    const { code, stdout } = await iommukit('run', file, '--trace', 'ftrace');
    expect(normalise(lines(stdout))).toEqual(normalise(golden('smmuv3-killed-job')));
    expect(code).toBe(0);
  });

  it('show progress on a terminal only', async () => {
    const argv = ['run', 'buffer-job', '--schedules', '256'];
    expect((await iommukit(...argv)).stderr).toBe('');
    expect((await atTerminal(...argv)).stderr).toMatch(/^\r256 of 256 schedules\r/);
  });
});
