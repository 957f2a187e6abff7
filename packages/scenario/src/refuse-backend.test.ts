import { describe, expect, it } from 'vitest';
import type { Backend } from './backend.js';
import { switchesOf } from './backend.js';
import { parseScenario } from './parse-scenario.js';
import { refusalOf, refuseBackend } from './refuse-backend.js';
import { resolveSettings } from './settings.js';

const backend = {
  name: 'box',
  switches: { 'box.mode': { values: ['new', 'old'], rule: 'VTD-3', help: 'which' } },
  hardware: { switches: { gait: { values: ['atomic', 'stepwise'], rule: 'INV-14', help: 'how' } } },
} as unknown as Backend;

const scenario = (notOn: string) =>
  parseScenario(
    `
name: short
about: Nothing much.
platform: {}
actors: { process: [{ mmap: { buffer: b, pages: 1 } }] }
not-on: { ${notOn} }
`,
    'mine.yaml',
  );
const settings = (given = {}) => resolveSettings(switchesOf(backend), given);

describe('not-on', () => {
  it('refuses a backend as such, whatever its settings', () => {
    const refusal = 'short does not run on box: it has no lid';
    expect(refusalOf(scenario('box: it has no lid'), backend)).toBe(refusal);
    expect(refusalOf(scenario('box: it has no lid'), backend, settings())).toBe(refusal);
    expect(refusalOf(scenario('tin: it has no lid'), backend, settings())).toBeNull();
  });

  it('refuses a backend with a setting where the setting holds, also as a default', () => {
    const old = scenario('box box.mode=old: too loud');
    expect(refusalOf(old, backend)).toBeNull();
    expect(refusalOf(old, backend, settings())).toBeNull();
    expect(() => refuseBackend(old, backend, settings({ 'box.mode': 'old' }))).toThrow(
      'short does not run on box with box.mode=old: too loud',
    );
    expect(refusalOf(scenario('box box.mode=new: too quiet'), backend, settings())).toMatch(/: too quiet$/);
  });

  it('refuses several settings only together', () => {
    const both = scenario('box box.mode=old gait=stepwise: too slow');
    expect(refusalOf(both, backend, settings({ 'box.mode': 'old' }))).toBeNull();
    expect(refusalOf(both, backend, settings({ 'box.mode': 'old', gait: 'stepwise' }))).toBe(
      'short does not run on box with box.mode=old and gait=stepwise: too slow',
    );
  });

  it('names no setting that there is not, and no value', () => {
    expect(() => refusalOf(scenario('box box.mod=old: x'), backend, settings())).toThrow(
      /no switch is called 'box.mod'/,
    );
    expect(() => refusalOf(scenario('box box.mode=older: x'), backend, settings())).toThrow(/the values are new, old/);
    expect(() => scenario('box ecs: x')).toThrow(/mine\.yaml:6:\d+: 'not-on.*a backend, maybe with settings/);
  });
});
