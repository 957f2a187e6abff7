import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  caseToJson,
  DEVIATIONS,
  type Disagreement,
  findQemu,
  isQemuError,
  jsonText,
  QEMU_MACHINES,
  QemuPerformer,
  readCase,
  readVector,
  runComparison,
  startQemu,
  type Vector,
} from '@iommukit/qemu';
import { Faults } from '@iommukit/vtd-hardware';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modelsWith } from './models-with.js';
import { iommukit, lines } from './support.js';
import { vectorsOf } from './vectors.js';

/** Why QEMU cannot be had for both architectures, or null. */
function absence(): string | null {
  try {
    for (const arch of ['x86_64', 'aarch64'] as const) {
      if (findQemu(arch).version.major < 11) return 'QEMU is older than 11: it has no testdev';
    }
    return null;
  } catch (error) {
    if (isQemuError(error)) return error.message;
    throw error;
  }
}

const why = absence();
const onQemu = why === null || process.env['CI'] === 'true' ? describe : describe.skip;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'compare-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A file of its own with a text. */
function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const text = (vector: Vector): string => jsonText(caseToJson(vector.case));
const vectorNamed = (backend: 'vtd' | 'smmuv3', name: string): Vector =>
  vectorsOf(backend).find((one) => one.name === name)!.vector;

describe('compare, before QEMU is started', () => {
  it('lists every deviation with the specification’s word and the reason', async () => {
    const { code, stdout } = await iommukit('compare', '--list');
    expect(code).toBe(0);
    for (const { id, title, specification, reason } of DEVIATIONS) {
      expect(stdout).toContain(`${id}\n  ${title}.\n  ${specification}.\n  Why the models stay: ${reason}.\n`);
    }
  });

  it('asks for a backend', async () => {
    const { code, stderr } = await iommukit('compare');
    expect([code, stderr]).toEqual([2, expect.stringContaining('--backend vtd or --backend smmuv3')]);
  });

  it.each([
    ['--backend', 'riscv'],
    ['--cases', '-3'],
    ['--cases', '1e9'],
    ['--seed', '0x10'],
  ])('refuses %s %s', async (flag, value) => {
    const { code, stderr } = await iommukit('compare', '--backend', 'vtd', flag, value);
    expect([code, stderr]).toEqual([2, expect.stringContaining(flag.slice(2))]);
  });

  it('says how to get a QEMU that is not there', async () => {
    const { code, stderr } = await iommukit('compare', '--backend', 'vtd', '--cases', '1', '--qemu', '/nowhere');
    expect([code, stderr]).toEqual([2, expect.stringContaining('iommukit qemu --get')]);
  });

  it('says which case file is not there', async () => {
    const { code, stderr } = await iommukit('compare', '--replay', '/nowhere/case.json');
    expect([code, stderr]).toEqual([2, expect.stringContaining('/nowhere/case.json')]);
  });

  const good = caseToJson(vectorNamed('vtd', 'deviation-vtd-dirty-on-hit').case);
  const steps = good['steps'] as Record<string, unknown>[];
  const memory = good['memory'] as Record<string, unknown>[];
  const other = (change: Record<string, unknown>): string => JSON.stringify({ ...good, ...change });
  it.each([
    ['no JSON', '{ "version": 1,', 'JSON'],
    ['nothing', '', 'JSON'],
    ['a list', '[]', 'the case: expected an object'],
    ['another version', other({ version: 2 }), 'version: expected 1'],
    ['a machine that is none', other({ machine: 'vax' }), 'machine: expected'],
    ['a machine without cases', other({ machine: 'riscv' }), 'machine: expected a machine that cases are for'],
    ['a key that nobody knows', other({ colour: 'red' }), 'colour: expected nothing'],
    ['memory beyond the arena', other({ memory: [{ ...memory[0], address: '0x10' }] }), 'memory[0].address: expected'],
    ['memory at an odd address', other({ memory: [{ ...memory[0], address: '0x1000001' }] }), 'memory[0].address'],
    ['a word of 65 bits', other({ memory: [{ ...memory[0], words: ['0x10000000000000000'] }] }), 'memory[0].words[0]'],
    ['a step that is none', other({ steps: [{ do: 'reboot' }] }), 'steps[0].do: expected one of write, store'],
    ['a register that is none', other({ steps: [{ ...steps[0], register: 'PMEN' }] }), 'steps[0].register'],
    ['a register of every object', other({ steps: [{ ...steps[0], register: 'constructor' }] }), 'steps[0].register'],
    ['a device that is none', other({ steps: [{ ...steps.at(-1), device: 'nic' }] }), 'steps[0].device'],
    ['an access over pages', other({ steps: [{ ...steps.at(-1), bytes: 4096 }] }), 'steps[0].bytes: expected'],
    [
      'a number as address',
      other({ steps: [{ ...steps.at(-1), iova: 4096 }] }),
      'steps[0].iova: expected a number as 0x',
    ],
    ['a million steps', other({ steps: new Array(1_000_000).fill(0) }), 'steps: expected a list of at most'],
    ['no identification', other({ identification: {} }), 'identification'],
  ])('refuses a case file with %s, and names the place', async (name, content, place) => {
    const path = file(`${name.replaceAll(' ', '-')}.json`, content);
    const { code, stdout, stderr } = await iommukit('compare', '--replay', path);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(path);
    expect(stderr).toContain(place);
  });
});

onQemu('compare', () => {
  it.each([
    ['vtd', 1000],
    ['smmuv3', 1500],
  ])('finds nothing unexplained about %s in %d random machines', async (backend, cases) => {
    const { code, stdout } = await iommukit('compare', '--backend', backend, '--cases', String(cases), '--json');
    const totals = JSON.parse(lines(stdout).at(-1)!) as Record<string, number>;
    expect(Object.keys(totals)).toEqual(['cases', 'agreed', 'explained', 'unexplained']);
    expect([code, totals['cases'], totals['unexplained']]).toEqual([0, cases, 0]);
    expect(totals['agreed']! + totals['explained']!).toBe(cases);
    expect(totals['agreed']).toBeGreaterThan(cases / 3);
  });

  it('tells people how many there were a second, and which deviations', async () => {
    const { code, stdout } = await iommukit('compare', '--backend', 'smmuv3', '--cases', '60', '--seed', '3');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^60 cases \(\d+ a second\): \d+ agreed, \d+ explained, 0 unexplained\n/);
    expect(stdout).toMatch(/^ +\d+ {2}smmu-[a-z-]+: QEMU /m);
  });

  it.each([
    ['vtd', 'vtd-scalable-fault-72', 'agreed\n'],
    ['vtd', 'deviation-vtd-dirty-on-hit', 'explained (vtd-dirty-on-hit)\n'],
    ['smmuv3', 'deviation-smmu-unprivileged', 'explained (smmu-unprivileged)\n'],
  ] as const)('replays a case of %s: %s', async (backend, name, verdict) => {
    const path = file(`${name}.json`, text(vectorNamed(backend, name)));
    const { code, stdout } = await iommukit('compare', '--replay', path);
    expect([code, stdout]).toEqual([0, expect.stringContaining(verdict)]);
    const json = await iommukit('compare', '--replay', path, '--json');
    expect([json.code, JSON.parse(json.stdout)]).toEqual([0, expect.objectContaining({ cases: 1, unexplained: 0 })]);
  });

  it('keeps vectors that still hold what QEMU answers', async () => {
    const kept = join(folder, 'kept');
    const { code } = await iommukit('compare', '--backend', 'smmuv3', '--cases', '25', '--freeze', kept);
    expect(code).toBe(0);
    expect(readdirSync(kept).length).toBeGreaterThan(5);
    for (const name of readdirSync(kept)) readVector(JSON.parse(readFileSync(join(kept, name), 'utf8')));
    const path = file('again.json', text(vectorNamed('smmuv3', 'smmuv3-fault-11')));
    await iommukit('compare', '--replay', path, '--freeze', kept);
    const again = readVector(JSON.parse(readFileSync(join(kept, 'again.json'), 'utf8')));
    expect(again.answers).toEqual(vectorNamed('smmuv3', 'smmuv3-fault-11').answers);
  });

  it.each(['vtd', 'smmuv3'] as const)('gets the answers that are frozen, of %s, once more', (backend) => {
    const vectors = vectorsOf(backend).filter((_one, i) => i % 12 === 0);
    for (const kind of new Set(vectors.map(({ vector }) => vector.case.machine))) {
      const qemu = new QemuPerformer(() => startQemu(findQemu(QEMU_MACHINES[kind].arch), kind));
      try {
        for (const { name, vector } of vectors.filter((one) => one.vector.case.machine === kind)) {
          expect([name, qemu.perform(vector.case)]).toEqual([name, vector.answers]);
        }
      } finally {
        qemu.stop();
      }
    }
  });

  it('shrinks what a broken model does, and the case that it keeps replays', () => {
    const broken = modelsWith({
      vtd: {
        Faults: class extends Faults {
          override compose(...[reason, access]: Parameters<Faults['compose']>): void {
            super.compose(reason, { ...access, page: access.page + 1 });
          }
        },
      },
    });
    const found: Disagreement[] = [];
    const replays: boolean[] = [];
    const totals = runComparison({
      backend: 'vtd',
      seed: 1,
      cases: 12,
      ours: broken,
      start: (kind) => startQemu(findQemu(QEMU_MACHINES[kind].arch), kind),
      found: (one) => {
        found.push(one);
        // As the file would have it.
        const again = readCase(JSON.parse(jsonText(caseToJson(one.case))));
        expect(again).toEqual(one.case);
        const [ours, theirs] = [broken.perform(again), one.theirs.perform(again)];
        replays.push(ours.steps.some((seen, i) => seen['FRCD_LO'] !== theirs.steps[i]!['FRCD_LO']));
      },
    });
    expect(totals.unexplained).toBeGreaterThan(0);
    expect(found.length).toBe(totals.unexplained);
    expect(replays).not.toContain(false);
    for (const { case: small, comparison } of found) {
      expect(comparison.left.map(({ field }) => field)).toContain('FRCD_LO');
      expect(small.steps.filter((step) => step.do === 'dma').length).toBeLessThanOrEqual(2);
    }
  });
});
