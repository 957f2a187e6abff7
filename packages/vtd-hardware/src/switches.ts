import type { SwitchEffect, Switches } from '@iommukit/kernel';

/** The hardware's `--set` switches. */
export const switches: Switches = {
  'caching-mode': {
    values: ['off', 'on'],
    rule: 'VTD-12',
    help: 'entries that are not present may be cached (CAP.CM), as under a hypervisor',
  },
  'cache-ro': {
    values: ['off', 'on'],
    rule: 'MN-14',
    help: 'a cached line that lacks a right answers with a fault until it is invalidated; off: the tables are looked at again',
  },
  'hw-af-dirty': {
    values: ['off', 'on'],
    rule: 'PF-10',
    help: 'second-stage tables may have Accessed and Dirty flags (ECAP.SLADS); those of first-stage tables are always set by CPUs and unit',
  },
  gait: {
    values: ['atomic', 'stepwise'],
    rule: 'MN-18',
    help: 'a translation is one step, or yields before every 64 bits that it fetches, so that tables change meanwhile',
  },
};

/** What switches do to the capabilities where they do not have their default values. */
export const effects: readonly SwitchEffect[] = [
  ['caching-mode', 'on', 'cm', true],
  ['cache-ro', 'on', 'cacheReadOnly', true],
  ['hw-af-dirty', 'on', 'slads', true],
  ['gait', 'stepwise', 'gait', 'stepwise'],
  // The extended-context mode is of units from before scalable mode (VTD-3).
  ['vtd.mode', 'ecs', 'ecs', true],
  ['vtd.mode', 'ecs', 'smts', false],
];
