import type { Setting, Settings } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Hostile } from './hostile.js';

/** What the noise meets. */
const MODELS: [string, Record<string, Setting>, Settings][] = [
  ['by default', {}, {}],
  ['that stalls', { stallMax: 3, terminateAborts: false, msi: true }, { 'stall-model': 'forced' }],
  [
    'with everything',
    {
      msi: true,
      rangeInvalidation: true,
      pps: true,
      hyp: true,
      btm: true,
      atsRecordsErrors: true,
      oas: 52,
      vax: 52,
      ds: true,
    },
    { 'hw-af-dirty': 'on' },
  ],
  [
    'with next to nothing',
    {
      ats: false,
      pri: false,
      ssidBits: 0,
      asid16: false,
      cd2l: false,
      stream2l: false,
      stall: 'none',
      oas: 32,
      iotlbEntries: 4,
    },
    {},
  ],
  ['in the stepwise gait', { rangeInvalidation: true }, { gait: 'stepwise' }],
  [
    'in the stepwise gait, with everything',
    { msi: true, hyp: true, btm: true, permsOverride: true, walkEntries: 16, stallMax: 2, vax: 52, oas: 52, ds: true },
    { gait: 'stepwise', 'hw-af-dirty': 'on', 'cache-ro': 'off' },
  ],
];
/** For each model: more than a million in all. */
const OPERATIONS = 200_000;
const BATCH = 40;

describe('SmmuV3 among hostile devices and broken drivers', () => {
  it.each(MODELS)(
    `survives ${OPERATIONS} random commands, table entries, registers and messages: a model %s`,
    (_name, capabilities, settings) => {
      const hostile = new Hostile(0x5eed, capabilities, settings);
      for (let i = 0; i < OPERATIONS; i += BATCH) expect(hostile.run(BATCH)).toBe('finished');
      expect(hostile.operations).toBe(OPERATIONS);
    },
    60_000,
  );

  it('meets every event, error, answer and interrupt of the model on the way', () => {
    const hostile = new Hostile(1, { msi: true }, {});
    for (let i = 0; i < 100_000; i += BATCH) hostile.run(BATCH);
    const { seen } = hostile;
    const events = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19].map((id) => `event 0x${id.toString(16)}`);
    const answers = ['ok', 'ca', 'ur'].flatMap((status) => [
      `completion ${status}`,
      `translation-completion ${status}`,
    ]);
    const others = ['error 1', 'error 2', 'error 3', 'stalls', 'invalidate-request', 'prg-response'];
    const interrupts = ['eventq', 'priq', 'gerror', 'cmdq-sync'].map((line) => `interrupt ${line}`);
    expect([...events, ...answers, ...others, ...interrupts].filter((what) => !seen.has(what))).toEqual([]);
  }, 60_000);
});
