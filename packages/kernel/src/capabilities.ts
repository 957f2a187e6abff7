import { IommuError } from './errors.js';
import type { Settings } from './switches.js';
import type { Setting } from './types.js';

/** Capabilities of a hardware model as data, by name. */
export type Capabilities = Readonly<Record<string, Setting>>;

/** What a model's capabilities may be, beyond the type of their defaults. */
export interface CapabilityRules {
  /** Who has them: `the SMMU`. */
  readonly owner: string;
  /** Least and greatest value of those that are whole numbers. */
  readonly ranges: Readonly<Record<string, readonly [least: number, greatest: number]>>;
  /** Those that have one of a few values. */
  readonly choices: Readonly<Record<string, readonly Setting[]>>;
  /** Those that count the entries of a cache: powers of two, at least 4. */
  readonly powers: readonly string[];
}

/** What a switch does to a capability where it has that value: `[switch, value, capability, its value]`. */
export type SwitchEffect = readonly [name: string, value: Setting, capability: string, becomes: Setting];

/**
 * The capabilities that a platform describes, completed by a model's defaults.
 * @throws IommuError EINVAL for a name that the model does not know, or a value that does not fit
 */
export function completeCapabilities<T extends object>(given: Capabilities, defaults: T, rules: CapabilityRules): T {
  for (const [name, value] of Object.entries(given)) {
    const standard = (defaults as Capabilities)[name];
    if (standard === undefined || !Object.hasOwn(defaults, name)) {
      throw cannotHave(rules.owner, `a capability '${name}'`, Object.keys(defaults).join(', '));
    }
    if (typeof value !== typeof standard) throw cannotHave(rules.owner, `${name}: ${value}`, `a ${typeof standard}`);
    checkValue(name, value, rules);
  }
  return { ...defaults, ...given };
}

function checkValue(name: string, value: Setting, { owner, ranges, choices, powers }: CapabilityRules): void {
  const [range, choice, number] = [ranges[name], choices[name], Number(value)];
  if (range && !(Number.isInteger(number) && number >= range[0] && number <= range[1])) {
    throw cannotHave(owner, `${name}: ${value}`, `${range[0]} … ${range[1]}`);
  }
  if (choice && !choice.includes(value)) throw cannotHave(owner, `${name}: ${value}`, choice.join(', '));
  if (powers.includes(name) && !(number >= 4 && Number.isInteger(Math.log2(number)))) {
    throw cannotHave(owner, `${name}: ${value}`, 'a power of two, at least 4');
  }
}

/** The refusal of a capability that a model cannot have. */
export function cannotHave(owner: string, what: string, allowed: string): IommuError {
  return new IommuError('EINVAL', `${owner} cannot have ${what}`, { remedy: `allowed: ${allowed}` });
}

/**
 * The capabilities of a platform, with those that a run's settings change: a switch of the model's own package, or of another one
 * that is about hardware too, counts where an effect names its value.
 */
export function withEffects(
  capabilities: Capabilities,
  settings: Settings,
  effects: readonly SwitchEffect[],
): Capabilities {
  const changed = effects.filter(([name, value]) => settings[name] === value);
  if (changed.length === 0) return capabilities;
  return { ...capabilities, ...Object.fromEntries(changed.map(([, , capability, becomes]) => [capability, becomes])) };
}
