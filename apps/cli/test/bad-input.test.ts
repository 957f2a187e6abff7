import { existsSync, mkdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { acpi, builtIn, tempFile, tempPath, variant, virtDtb } from './files.js';
import { iommukit } from './support.js';

/** Runs, expects wrong usage with nothing on stdout, and returns what was told. */
async function told(...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await iommukit('run', ...argv);
  expect(stdout).toBe('');
  expect(code, stderr).toBe(2);
  expect(stderr).not.toMatch(/\n {4}at |defect/);
  return stderr;
}

describe('a scenario that cannot be used', () => {
  it.each([
    ['unknown name: lists the built-in ones', 'nope', /'nope'.*buffer-job, .*killed-job, .*two-processes/],
    ['missing file', './nope.yaml', /\.\/nope\.yaml cannot be read: there is no such file/],
    ['directory', '.', /\. cannot be read: it is a directory/],
  ])('is told: %s', async (_what, name, message) => {
    expect(await told(name)).toMatch(message);
  });

  it('names file, line and column of a wrong key', async () => {
    expect(await told(variant('buffer-job', 'about:', 'abuot:'))).toMatch(
      /variant\.yaml:2:1: 'abuot' is not a key here/,
    );
    expect(await told(variant('buffer-job', 'from: src', 'form: src'))).toMatch(/variant\.yaml:16:27: 'form' is not/);
    expect(await told(variant('buffer-job', 'pages: 2', 'pages: -2'))).toMatch(/variant\.yaml:13:\d+: .*>=1/);
  });

  it.each([
    ['empty', ''],
    ['a comment only', '# nothing\n'],
    ['binary', '\0\x01\x02'],
    ['no map', '- 1\n'],
  ])('names the place when the file is %s', async (_what, text) => {
    expect(await told(tempFile('odd.yaml', text))).toMatch(/odd\.yaml:1:\d+: /);
  });

  it('refuses a file of a megabyte without reading it as YAML', async () => {
    expect(await told(tempFile('huge.yaml', builtIn('buffer-job') + '#'.repeat(1 << 20)))).toMatch(
      /is larger than 262144 bytes/,
    );
  });

  it('refuses a deeply nested file', async () => {
    expect(await told(tempFile('deep.yaml', '['.repeat(100_000)))).toMatch(/deep\.yaml:\d+:\d+: /);
  });
});

describe('a platform that cannot be used', () => {
  it.each([
    ['that is cut short', virtDtb().slice(0, 3000), /bad\.dtb: .*totalsize.*cut short/],
    ['that is no devicetree', new TextEncoder().encode('hello, world'.repeat(9)), /bad\.dtb: .*magic.*offset 0x0/],
    ['that is empty', new Uint8Array(0), /bad\.dtb: /],
  ])('is told with file and place: a file %s', async (_what, bytes, message) => {
    expect(await told('buffer-job', '--platform', tempFile('bad.dtb', bytes))).toMatch(message);
  });

  it('names the table and the place in damaged ACPI tables', async () => {
    const iort = acpi('iort');
    const platform = (name: string, bytes: Uint8Array): Promise<string> =>
      told('buffer-job', '--platform', tempFile(name, bytes));
    expect(await platform('x.aml', iort.slice(0, 99))).toMatch(/x\.aml: IORT length \(offset 0x4\).*whole table/);
    expect(await platform('x.aml', acpi('mcfg'))).toMatch(/x\.aml: IORT signature \(offset 0x0\).*ACPI MCFG table/);
    tempFile('MCFG.dat', acpi('mcfg').fill(1, 50, 51));
    expect(await platform('IORT.dat', iort)).toMatch(/MCFG\.dat: MCFG checksum \(offset 0x9\)/);
  });

  it('names the table and the place in a damaged DMAR, and a unit that nothing here drives', async () => {
    const dmar = acpi('dmar');
    const platform = (name: string, bytes: Uint8Array): Promise<string> =>
      told('buffer-job', '--platform', tempFile(name, bytes));
    expect(await platform('d.aml', dmar.slice(0, 99))).toMatch(/d\.aml: DMAR length \(offset 0x4\).*whole table/);
    expect(await platform('d.aml', acpi('dmar').fill(9, 60, 61))).toMatch(/d\.aml: DMAR checksum \(offset 0x9\)/);
    tempFile('MCFG.bin', acpi('mcfg-q35').fill(1, 50, 51));
    expect(await platform('DMAR.bin', dmar)).toMatch(/MCFG\.bin: MCFG checksum \(offset 0x9\)/);
    expect(await platform('d.aml', dmar)).toMatch(/dmar@fed90000/);
  });

  it('tells of a damaged xz file, a directory and a missing file', async () => {
    expect(await told('buffer-job', '--platform', tempFile('bad.dtb.xz', virtDtb()))).toMatch(
      /bad\.dtb\.xz is no whole xz/,
    );
    expect(await told('buffer-job', '--platform', '.')).toMatch(/\. cannot be read: it is a directory/);
    expect(await told('buffer-job', '--platform', './nope.dtb')).toMatch(/nope\.dtb cannot be read/);
  });
});

describe('a schedule that cannot be replayed', () => {
  const replay = (token: string): Promise<string> => told('killed-job', '--schedule', token);

  it('is told when the token is none, of another version or of another scenario', async () => {
    expect(await replay('rabbit')).toMatch(/'rabbit' is not a schedule token; .*ik1\./);
    expect(await replay('ik9.1029nbi.0')).toMatch(/ik9 is not the ik1 of this release/);
    expect(await replay('ik1.zzzzzz.0')).toMatch(/another scenario, platform or --set/);
  });

  it('is told when the token is damaged: cut short, with an impossible choice, with choices too many', async () => {
    const { stderr } = await iommukit('run', 'killed-job', '--trace', 'ftrace');
    const [token, head] = /--schedule ((ik1\.\w+\.)\w+)\n/.exec(stderr)!.slice(1) as [string, string];
    expect(await replay(token.slice(0, -1))).toMatch(/cut short/);
    expect(await replay(`${head}0v`)).toMatch(/choice 0 takes task 31 of the runnable ones, but only/);
    expect(await replay(`${token}--41`)).toMatch(/1 more choices than this run has/);
  });
});

describe('flags that cannot be used', () => {
  it.each([
    ['--seed with --schedule', ['--seed', '1', '--schedule', 'ik1.a.0'], /--seed .*--schedule .*one of them/],
    ['--schedules with --schedule', ['--schedules', '2', '--schedule', 'ik1.a.0'], /one of them/],
    ['--schedules with --trace', ['--schedules', '2', '--trace', 'json'], /show one run/],
    ['--out without --trace', ['--out', 'x'], /give --trace too/],
    ['--list with a scenario', ['--list'], /leave out 'buffer-job'/],
    ['a negative seed', ['--seed', '-1'], /"-1" for seed: give a whole number from 0/],
    ['no schedules', ['--schedules', '0'], /whole number from 1/],
    ['half a schedule', ['--schedules', '1.5'], /whole number from 1/],
    ['an unknown format', ['--trace', 'xml'], /ftrace\|json\|perfetto/],
    ['an unknown backend', ['--backend', 'gart'], /no backend is called 'gart'; there are smmuv3/],
    [
      'an unknown event: lists them',
      ['--events', 'dev_fault,dev_falt'],
      /'dev_falt'; there are all, .*dev_fault, .*smmu_unbind_free/,
    ],
    ['an unknown switch: lists them', ['--set', 'mn.dup=on'], /'mn\.dup'.*mn\.duplicate: on or off.*alloc-fail/s],
    ['an unknown value of a switch', ['--set', 'mn.duplicate=yes'], /mn\.duplicate=yes: the values are on, off/],
    ['a switch without a value', ['--set', 'mn.duplicate'], /write key=value/],
    ['a number that is none', ['--set', 'alloc-fail=x'], /alloc-fail=x: the value is a whole number/],
    [
      'a queue that cannot be',
      ['--set', 'smmuv3.cmdq-entries=3'],
      /buffer-job: smmuv3\.cmdq-entries is 3.*power of two/,
    ],
  ])('are told: %s', async (_what, flags, message) => {
    expect(await told('buffer-job', ...flags)).toMatch(message);
  });

  it('leave no file behind', async () => {
    const out = tempPath('never.json');
    await told('buffer-job', '--trace', 'json', '--out', out, '--set', 'no=1');
    await told('buffer-job', '--trace', 'json', '--out', out, '--events', 'no');
    await told('buffer-job', '--trace', 'json', '--out', out, '--schedule', 'no');
    await told(variant('killed-job', 'mmput', 'mmputt'), '--trace', 'json', '--out', out);
    expect(existsSync(out)).toBe(false);
  });

  it('tell before the run when --out cannot be written', async () => {
    const folder = tempPath('folder');
    mkdirSync(folder, { recursive: true });
    expect(await told('buffer-job', '--trace', 'json', '--out', folder)).toMatch(
      /folder cannot be written: it is a directory/,
    );
    expect(await told('buffer-job', '--trace', 'json', '--out', `${folder}/no/x`)).toMatch(
      /no\/x cannot be written: its directory/,
    );
  });
});

describe('an order that cannot be used', () => {
  const ORDER = 'fault-worker.mmget < process.exit-mm < fault-worker.mmput';

  it.each([
    ['malformed', 'process.exit-mm', /variant\.yaml:18:1: order .*at least two steps/],
    [
      'of an unknown task: lists them',
      'wroker.mmget < process.exit-mm',
      /no task is called 'wroker'; there are process, .*fault-worker/,
    ],
    [
      'of an unknown step: lists them',
      'fault-worker.mget < process.exit-mm',
      /fault-worker\.mget does not happen; .*fault-worker\.mmget, .*process\.exit-mm/,
    ],
    [
      'that cannot be met',
      'process.exit < process.bind',
      /cannot be met: process before bind must wait, and nothing else can run/,
    ],
    [
      'that two chains make impossible',
      '[process.exit-mm < fault-worker.mmget, fault-worker.mmput < process.exit-mm]',
      /cannot be met/,
    ],
  ])('is told: %s', async (_what, order, message) => {
    expect(await told(variant('killed-job', ORDER, order))).toMatch(message);
  });
});
