import type { SwitchEffect, Switches } from '@iommukit/kernel';

/** The hardware's `--set` switches. */
export const switches: Switches = {
  'stall-model': {
    values: ['optional', 'forced', 'none'],
    rule: 'FEAT-5',
    help: 'what may become of a faulting transaction (IDR0.STALL_MODEL): stall or terminate, stall only, terminate only',
  },
  'cache-ro': {
    values: ['on', 'off'],
    rule: 'SMMU-20',
    help: 'a read-only line of the TLB answers a write with a fault, instead of a new walk',
  },
  gait: {
    values: ['atomic', 'stepwise'],
    rule: 'MN-18',
    help: 'a translation is one step, or yields before every 64 bits that it fetches, so that tables change meanwhile',
  },
};

/** What switches do to the capabilities where they do not have their default values. */
export const effects: readonly SwitchEffect[] = [
  ['stall-model', 'forced', 'stall', 'forced'],
  ['stall-model', 'none', 'stall', 'none'],
  ['cache-ro', 'off', 'cacheReadOnly', false],
  ['btm', 'on', 'btm', true],
  ['cpu-el2', 'on', 'hyp', true],
  ['hw-af-dirty', 'on', 'httu', 'dirty'],
  ['gait', 'stepwise', 'gait', 'stepwise'],
];
