import type { Setting, Settings } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Hostile } from './hostile.js';

/** What the noise meets: TTM, capabilities, switches. */
const MODELS: [string, number, Record<string, Setting>, Settings][] = [
  ['in scalable mode', 1, {}, {}],
  ['in legacy mode', 0, {}, {}],
  ['in the extended-context mode', 2, { ecs: true, dis: true, privateData: true }, {}],
  [
    'with everything',
    1,
    { fl5lp: true, sagaw: 14, mgaw: 56, slads: true, ers: true, mts: true, dit: true, privateData: true, haw: 52 },
    { 'caching-mode': 'on' },
  ],
  [
    'with next to nothing',
    1,
    { dt: false, prs: false, pds: false, psi: false, nfr: 0, iotlbEntries: 4, haw: 32, sc: false },
    {},
  ],
  ['in the stepwise gait', 1, { devTlbTimeoutNs: 1000 }, { gait: 'stepwise' }],
  [
    'in the stepwise gait, with caching mode',
    1,
    { fl5lp: true, slads: true },
    { gait: 'stepwise', 'caching-mode': 'on' },
  ],
  ['in the stepwise gait and legacy mode', 0, { walkEntries: 4 }, { gait: 'stepwise', 'cache-ro': 'off' }],
  ['in the stepwise gait and the extended-context mode', 2, { ecs: true }, { gait: 'stepwise' }],
];
/** For each model: more than 300,000 in all. */
const OPERATIONS = 40_000;
const BATCH = 40;

describe('Vtd among hostile devices and broken drivers', () => {
  it.each(MODELS)(
    `survives ${OPERATIONS} random descriptors, table entries, registers and messages: a unit %s`,
    (_name, ttm, capabilities, settings) => {
      const hostile = new Hostile(0x5eed, ttm, capabilities, settings);
      for (let i = 0; i < OPERATIONS; i += BATCH) expect(hostile.run(BATCH)).toBe('finished');
      expect(hostile.operations).toBe(OPERATIONS);
    },
    60_000,
  );

  it('meets faults, queue errors, answers and interrupts of every kind on the way', () => {
    const hostile = new Hostile(1, 1, {}, {});
    for (let i = 0; i < 60_000; i += BATCH) hostile.run(BATCH);
    const { seen } = hostile;
    const faults = [
      0x30, 0x38, 0x39, 0x3a, 0x40, 0x41, 0x42, 0x44, 0x45, 0x46, 0x47, 0x50, 0x51, 0x52, 0x58, 0x59, 0x5a, 0x5b,
    ];
    const walks = [0x70, 0x71, 0x72, 0x79, 0x7a, 0x80, 0x81, 0x85, 0x86];
    const answers = ['ok', 'ur'].flatMap((status) => [`completion ${status}`, `translation-completion ${status}`]);
    const others = ['translation-completion ca', 'invalidate-request', 'prg-response', 'PRO'];
    const errors = [1, 2, 3, 4, 5, 6, 7].map((code) => `IQEI ${code}`);
    const status = ['FSTS 0x1', 'FSTS 0x10', 'FSTS 0x20', 'FSTS 0x40'];
    const interrupts = ['fault', 'invalidation', 'page-request'].map((line) => `interrupt ${line}`);
    const expected = [
      ...[...faults, ...walks].map((fr) => `fault 0x${fr.toString(16)}`),
      ...answers,
      ...others,
      ...errors,
      ...status,
      ...interrupts,
    ];
    expect(expected.filter((what) => !seen.has(what))).toEqual([]);
  }, 60_000);
});
