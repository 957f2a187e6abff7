import type { Setting, Settings, Switches } from '@iommukit/kernel';

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
    help: 'a cached line that lacks a right answers with a fault; off: the tables are looked at again',
  },
  gait: {
    values: ['atomic', 'stepwise'],
    rule: 'MN-18',
    help: 'a translation is one step, or yields before every 64 bits that it fetches, so that tables change meanwhile',
  },
};

/** What a switch does to the capabilities where it does not have its default value: `[switch, value, capability, its value]`. */
const EFFECTS: readonly (readonly [string, Setting, string, Setting])[] = [
  ['caching-mode', 'on', 'cm', true],
  ['cache-ro', 'on', 'cacheReadOnly', true],
  ['hw-af-dirty', 'on', 'slads', true],
  ['gait', 'stepwise', 'gait', 'stepwise'],
  // The extended-context mode is of units from before scalable mode (VTD-3).
  ['vtd.mode', 'ecs', 'ecs', true],
  ['vtd.mode', 'ecs', 'smts', false],
];

/**
 * The capabilities of a platform, with those that the run's settings change: a switch of this package, or of another one that is
 * about hardware too, counts where it does not have its default value.
 */
export function withSettings(
  capabilities: Readonly<Record<string, Setting>>,
  settings: Settings,
): Readonly<Record<string, Setting>> {
  const changed = EFFECTS.filter(([name, value]) => settings[name] === value);
  if (changed.length === 0) return capabilities;
  return { ...capabilities, ...Object.fromEntries(changed.map(([, , capability, value]) => [capability, value])) };
}
