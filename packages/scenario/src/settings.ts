import type { Setting, Settings, Switches } from '@iommukit/kernel';
import { ScenarioError } from './scenario-error.js';

/** Values given for switches, still as written: by a scenario's `set:` and by `--set`. */
export type GivenSettings = Readonly<Record<string, Setting>>;

/** Reads `key=value` as `--set` gives it. @throws ScenarioError when there is no `=` */
export function parseSetting(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new ScenarioError(`--set ${text}: write key=value, as in --set mn.duplicate=off`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/**
 * Every declared switch with its value: the given one, else its default.
 * @throws ScenarioError for a key or a value that is not declared; it lists what exists
 */
export function resolveSettings(switches: Switches, given: GivenSettings): Settings {
  for (const key of Object.keys(given)) {
    if (key in switches) continue;
    throw new ScenarioError(`no switch is called '${key}'; there are:\n${describeSwitches(switches)}`);
  }
  const settings = Object.entries(switches).map(([key, { values }]) => {
    const value = given[key];
    if ('type' in values) return [key, value === undefined ? values.default : count(key, value)];
    if (value === undefined) return [key, values[0]!];
    const text = typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
    if (!values.includes(text)) throw new ScenarioError(`${key}=${text}: the values are ${values.join(', ')}`);
    return [key, text];
  });
  return Object.fromEntries(settings) as Settings;
}

/** Two lines for each switch: key with its values, default first; help and rule. */
export function describeSwitches(switches: Switches): string {
  return Object.entries(switches)
    .map(([key, { values, rule, help }]) => {
      const choices =
        'type' in values ? `a number, else ${values.default}` : `${values.join(' or ')}, else ${values[0]}`;
      return `  ${key}: ${choices}\n      ${help} (${rule})`;
    })
    .join('\n');
}

function count(key: string, value: Setting): number {
  const number = typeof value === 'number' ? value : Number(value);
  if (value !== '' && Number.isSafeInteger(number) && number >= 0) return number;
  throw new ScenarioError(`${key}=${String(value)}: the value is a whole number from 0`);
}
