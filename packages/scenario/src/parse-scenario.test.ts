import { describe, expect, it } from 'vitest';
import { parseScenario } from './parse-scenario.js';
import { ScenarioError } from './scenario-error.js';

const GOOD = `name: mine
about: A test.
platform: { endpoints: [{ at: "0000:00:03.0", model: dma-engine }] }
actors:
  process:
    - open: 0000:00:03.0
    - bind
    - mmap: { buffer: src, pages: 2 }
    - munmap: src
    - wait: cancelled
    - exit
`;

/** The good scenario with one more step before `munmap`. */
function withStep(step: string): string {
  return GOOD.replace('    - munmap', `    - ${step}\n    - munmap`);
}

function problem(text: string): string {
  try {
    parseScenario(text, 'mine.yaml');
  } catch (error) {
    if (error instanceof ScenarioError) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('parseScenario', () => {
  it('reads short and long forms of steps', () => {
    expect(parseScenario(GOOD, 'mine.yaml').actors['process']).toEqual([
      { do: 'open', device: '0000:00:03.0' },
      { do: 'bind' },
      { do: 'mmap', buffer: 'src', pages: 2, write: true },
      { do: 'munmap', buffer: 'src', first: 0 },
      { do: 'wait', outcome: 'cancelled' },
      { do: 'exit' },
    ]);
  });

  it.each([
    ['a wrong key', GOOD.replace('about:', 'abuot:'), /^mine\.yaml:2:1: 'abuot' is not a key here/],
    [
      'an unknown step',
      GOOD.replace('- bind', '- bnid'),
      /^mine\.yaml:7:7: no step is called "bnid"; there are .*bind, /,
    ],
    ['a wrong key inside a step', GOOD.replace('pages: 2', 'pags: 2'), /^mine\.yaml:8:28: 'pags' is not a key here/],
    ['a value of the wrong kind', GOOD.replace('pages: 2', 'pages: two'), /^mine\.yaml:8:\d+: .*number/i],
    ['a negative number', GOOD.replace('pages: 2', 'pages: -2'), /^mine\.yaml:8:28: .*>=1/i],
    ['a step of two keys', GOOD.replace('- bind', '- { bind: , close: }'), /^mine\.yaml:7:7: a step is one key, as in/],
    ['a step that is a number', GOOD.replace('- bind', '- 5'), /^mine\.yaml:7:7: a step is one key/],
    [
      'a value that a step does not take',
      GOOD.replace('- bind', '- unbind: now'),
      /^mine\.yaml:7:7: 'now' is not a key here/,
    ],
    [
      'a buffer that is not mapped',
      GOOD.replace('munmap: src', 'munmap: dst'),
      /^mine\.yaml:9:7: 'dst' is not mapped here/,
    ],
    ['steps after exit', `${GOOD}    - munmap: src\n`, /^mine\.yaml:11:7: exit is a process's last step/],
    ['broken YAML', 'name: [', /^mine\.yaml:\d+:\d+: /],
    ['an address that is none', GOOD.replace('"0000:00:03.0"', '"3.0"'), /^mine\.yaml:3:\d+: .*0000:00:03\.0/],
    [
      'a device that is not there',
      GOOD.replace('open: 0000:00:03.0', 'open: 0000:00:04.0'),
      /^mine\.yaml:6:7: no device is at 0000:00:04\.0; platform\.endpoints has: 0000:00:03\.0/,
    ],
    [
      'a step without an open device',
      GOOD.replace('- open: 0000:00:03.0', '- close'),
      /^mine\.yaml:6:7: close needs an open device/,
    ],
    ['a buffer mapped twice', withStep('mmap: { buffer: src, pages: 1 }'), /^mine\.yaml:9:7: 'src' is mapped already/],
    [
      'an unmap beyond the end',
      GOOD.replace('munmap: src', 'munmap: { buffer: src, first: 2 }'),
      /^mine\.yaml:9:7: 'src' has 2 pages/,
    ],
    ['a job without a buffer', withStep('submit: { op: copy, from: src }'), /^mine\.yaml:9:7: a copy job needs to:/],
    ['a byte that is none', withStep('fill: { buffer: src, byte: 256 }'), /^mine\.yaml:9:28: .*<=255/],
    ['expect without a value', withStep('expect: src'), /^mine\.yaml:9:7: expect needs either equals: or byte:/],
    ['a malformed order', `${GOOD}order: process.bind\n`, /^mine\.yaml:12:1: order .*at least two steps/],
    ['nothing', '', /^mine\.yaml:1:1: /],
    ['a list', '- a\n- b\n', /^mine\.yaml:1:1: a scenario has name/],
  ])('names file, line and column of %s', (_what, text, message) => {
    expect(problem(text)).toMatch(message);
  });

  it.each([
    ['an unknown child', 'fork: nobody', '', /^mine\.yaml:9:7: no actor is called 'nobody'/],
    [
      'a child that is started twice',
      'fork: child',
      '  child: [exit]\n  more: [fork: child]\n',
      /^mine\.yaml:14:10: 'child' is started already/,
    ],
    [
      'a buffer that the child does not inherit',
      'fork: child',
      '  child: [fill: late]\n',
      /^mine\.yaml:\d+:11: 'late' is not mapped here/,
    ],
    ['a join without a child', 'join: child', '', /^mine\.yaml:9:7: 'child' is no child of this actor/],
    ['a buffer of the old program', 'exec', '', /^mine\.yaml:10:7: 'src' is not mapped here/],
    ['pages beyond the end', 'migrate: { buffer: src, first: 2 }', '', /^mine\.yaml:9:7: 'src' has 2 pages/],
  ])('names file, line and column of %s', (_what, step, more, message) => {
    const child = more.includes('child:') ? more : `${more}  child: [exit]\n`;
    expect(problem(withStep(step) + child)).toMatch(message);
  });

  it('knows what a child inherits, and what a new program does not', () => {
    const text = `${GOOD.replace('- munmap: src', '- fork: child\n    - join: child\n    - mremap: { buffer: src, pages: 4 }\n    - munmap: { buffer: src, first: 3 }\n    - exec')}  child: [fill: src, exit]\n`;
    expect(problem(text)).toBe('accepted');
  });

  it('refuses actors that nobody starts', () => {
    expect(problem(`${GOOD}  a: [fork: a]\n`)).toMatch(/^mine\.yaml:12:3: 'a' is only started by itself/);
    expect(problem(GOOD.replace('- open: 0000:00:03.0', '- fork: process'))).toMatch(
      /every actor is started by another one/,
    );
  });

  it('reads devices on the platform bus', () => {
    const text = GOOD.replace(
      '{ at: "0000:00:03.0", model: dma-engine }',
      '{ at: gpu@a000000, model: dma-engine, streams: [0x10], pasid-bits: 16, stall: true }',
    ).replace('0000:00:03.0', 'gpu@a000000');
    expect(parseScenario(text, 'mine.yaml').platform.endpoints).toMatchObject([
      { at: 'gpu@a000000', streams: [16], stall: true },
    ]);
  });

  it('reads which backends a scenario is not for, and why', () => {
    expect(parseScenario(`${GOOD}not-on: { vtd: nothing stalls there }\n`, 'mine.yaml')['not-on']).toEqual({
      vtd: 'nothing stalls there',
    });
  });

  it('reads units that are added, and refuses what is behind none or two of them', () => {
    const units = (text: string) => GOOD.replace('platform: {', `platform: { units: ${text},`);
    const good = '{ narrow: { behind: ["0000:00:03.0"], capabilities: { vtd: { pss: 0 } } } }';
    expect(parseScenario(units(good), 'mine.yaml').platform.units).toEqual({
      narrow: { behind: ['0000:00:03.0'], capabilities: { vtd: { pss: 0 } } },
    });
    expect(problem(units('{ narrow: { behind: ["0000:00:09.0"] } }'))).toMatch(
      /^mine\.yaml:\d+:\d+: no device is at 0000:00:09\.0; platform\.endpoints has: 0000:00:03\.0/,
    );
    const twice = '{ one: { behind: ["0000:00:03.0"] }, two: { behind: ["0000:00:03.0"] } }';
    expect(problem(units(twice))).toMatch(/^mine\.yaml:\d+:\d+: 0000:00:03\.0 is behind one already/);
  });

  it('refuses nesting that would exhaust the stack', () => {
    expect(problem('['.repeat(50_000))).toMatch(/^mine\.yaml:\d+:\d+: /);
  });

  it('survives aliases that expand without end', () => {
    const bomb = `a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nd: &d [*c, *c, *c, *c]\ne: [*d, *d, *d, *d]\n`;
    expect(problem(bomb)).toMatch(/^mine\.yaml/);
  });
});
