import { beforeAll, describe, expect, it } from 'vitest';
import { KINDS, whyIllegal } from './legal-kinds.js';
import { type Called, iommukit, lines } from './support.js';

interface Kind {
  readonly runs: number;
  readonly token: string;
  readonly shape: readonly string[];
}

/** The kinds that `--schedules` printed. */
function kindsOf(stdout: string): Kind[] {
  const kinds: { runs: number; token: string; shape: string[] }[] = [];
  for (const line of lines(stdout)) {
    const head = /^kind \d+ +(\d+) runs? +--schedule (\S+)$/.exec(line);
    if (head !== null) kinds.push({ runs: Number(head[1]), token: head[2]!, shape: [] });
    else if (line.startsWith('    ')) kinds.at(-1)!.shape.push(line.trim());
  }
  return kinds;
}

describe('killed-job under 10,000 random schedules (G-B2)', () => {
  let called: Called;
  let kinds: Kind[];

  beforeAll(async () => {
    called = await iommukit('run', 'killed-job', '--schedules', '10000');
    kinds = kindsOf(called.stdout);
  }, 60_000);

  it('finds nothing and counts every run', () => {
    expect(called.stdout).toMatch(/no findings$/m);
    expect(called.code).toBe(0);
    expect(kinds.reduce((sum, { runs }) => sum + runs, 0)).toBe(10_000);
  });

  it('prints only legal traces', () => {
    for (const { shape } of kinds) expect(whyIllegal(shape), shape.join(' / ')).toBeNull();
  });

  it.each(Object.keys(KINDS))('sees the kind: %s', (name) => {
    expect(kinds.some(({ shape }) => KINDS[name]!(shape))).toBe(true);
  });

  it('replays each kind from its printed token', async () => {
    for (const { token, shape } of kinds) {
      const { code, stdout, stderr } = await iommukit('run', 'killed-job', '--trace', 'json', '--schedule', token);
      const events = lines(stdout).map((line) => (JSON.parse(line) as { event: string }).event);
      expect(events).toEqual(shape.map(eventOf));
      expect(stderr).toContain(`--schedule ${token}\n`);
      expect(code).toBe(0);
    }
  });

  it('draws other schedules from another seed, and the same ones from the same', async () => {
    const [one, two, again] = await Promise.all(
      ['5', '6', '5'].map((seed) => iommukit('run', 'killed-job', '--schedules', '300', '--seed', seed)),
    );
    expect(again!.stdout).toBe(one!.stdout);
    expect(two!.stdout).not.toBe(one!.stdout);
  });
});

describe('the law of G-B2', () => {
  it.each([
    [
      'an answer SUCCESS to a fault that came after release',
      ['bind alloc', 'release', 'fault page 1', 'response SUCCESS', 'unbind free'],
    ],
    [
      'a fault after INVALID',
      ['bind alloc', 'fault page 1', 'response INVALID', 'fault page 1', 'response INVALID', 'release', 'unbind free'],
    ],
    ['two releases', ['bind alloc', 'release', 'release', 'unbind free']],
    ['no release', ['bind alloc', 'unbind free']],
    ['an invalidate', ['bind alloc', 'release', 'invalidate', 'unbind free']],
    ['something after unbind', ['bind alloc', 'release', 'unbind free', 'release']],
    ['a fault without a response', ['bind alloc', 'fault page 1', 'release', 'unbind free']],
  ])('refuses %s', (_what, shape) => {
    expect(whyIllegal(shape)).not.toBeNull();
  });
});

function eventOf(line: string): string {
  if (line.startsWith('fault')) return 'dev_fault';
  if (line.startsWith('response')) return 'dev_page_response';
  return `smmu_${line === 'release' || line === 'invalidate' ? 'mm_' : ''}${line.replace(' ', '_')}`;
}
