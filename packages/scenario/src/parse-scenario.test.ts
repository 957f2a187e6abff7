import { describe, expect, it } from 'vitest';
import { parseScenario } from './parse-scenario.js';
import { ScenarioError } from './scenario-error.js';

const GOOD = `name: mine
about: A test.
platform: {}
actors:
  process:
    - open: 0000:00:03.0
    - bind
    - mmap: { buffer: src, pages: 2 }
    - munmap: src
    - wait: cancelled
    - exit
`;

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
    ['a wrong key at its own line', GOOD.replace('about:', 'abuot:'), /^mine\.yaml:2:1: 'abuot' is not a key here/],
    [
      'an unknown step at its line',
      GOOD.replace('- bind', '- bnid'),
      /^mine\.yaml:7:7: no step is called "bnid"; there are .*bind/,
    ],
    ['a wrong key inside a step', GOOD.replace('pages: 2', 'pags: 2'), /^mine\.yaml:8:28: 'pags' is not a key here/],
    ['a value of the wrong kind', GOOD.replace('pages: 2', 'pages: two'), /^mine\.yaml:8:\d+: .*number/i],
    [
      'a buffer that no earlier step maps',
      GOOD.replace('munmap: src', 'munmap: dst'),
      /^mine\.yaml:9:7: 'dst' is not mapped here/,
    ],
    ['steps after exit', `${GOOD}    - bind\n`, /^mine\.yaml:11:7: exit is a process's last step/],
    ['broken YAML', 'name: [', /^mine\.yaml:\d+:\d+: /],
    [
      'an address that is none',
      GOOD.replace('platform: {}', 'platform: { endpoints: [{ at: "3.0", model: x }] }'),
      /^mine\.yaml:3:\d+: .*0000:00:03\.0/,
    ],
    ['no scenario at all', '', /^mine\.yaml:1:1: /],
  ])('names file, line and column of %s', (_what, text, message) => {
    expect(problem(text)).toMatch(message);
  });

  it('survives aliases that expand without end', () => {
    const bomb = `a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nd: &d [*c, *c, *c, *c]\ne: [*d, *d, *d, *d]\n`;
    expect(problem(bomb)).toMatch(/^mine\.yaml/);
  });
});
