import type { Setting, Settings, Switches } from '@iommukit/kernel';

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

/** What a switch does to the capabilities where it does not have its default value: `[switch, value, capability, its value]`. */
const EFFECTS: readonly (readonly [string, Setting, string, Setting])[] = [
  ['stall-model', 'forced', 'stall', 'forced'],
  ['stall-model', 'none', 'stall', 'none'],
  ['cache-ro', 'off', 'cacheReadOnly', false],
  ['btm', 'on', 'btm', true],
  ['cpu-el2', 'on', 'hyp', true],
  ['hw-af-dirty', 'on', 'httu', 'dirty'],
  ['gait', 'stepwise', 'gait', 'stepwise'],
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
