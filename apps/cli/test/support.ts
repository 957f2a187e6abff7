import { readFileSync } from 'node:fs';
import { parseScenario, parseSetting, refusalOf, resolveSettings, switchesOf } from '@iommukit/scenario';
import { scenarioText } from '../src/files.js';
import { backends, main } from '../src/index.js';

/** What one call of the command printed, and its exit code. */
export interface Called {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Calls the command in this process, as a pipe would see it. */
export function iommukit(...argv: string[]): Promise<Called> {
  return call(argv, false);
}

/** Calls the command in this process, as a person at a terminal would see it. */
export function atTerminal(...argv: string[]): Promise<Called> {
  return call(argv, true);
}

async function call(argv: readonly string[], isTTY: boolean): Promise<Called> {
  const out = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => ({
    isTTY,
    write: (text: string) => {
      out[name] += text;
    },
  });
  const code = await main(argv, { stdout: stream('stdout'), stderr: stream('stderr') });
  return { code, ...out };
}

/** The lines of a golden trace, without its comments. */
export function golden(name: string): string[] {
  const text = readFileSync(new URL(`golden/${name}.trace`, import.meta.url), 'utf8');
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

/**
 * A trace with what may differ taken out: addresses count from the first faulting page (A), groups are numbered in order
 * of appearance. Everything else stays to the letter.
 */
export function normalise(lines: readonly string[]): string[] {
  const fault = lines.map((line) => /addr=0x([0-9a-f]{16}) /.exec(line)).find((match) => match !== null);
  const base = fault == null ? 0n : BigInt(`0x${fault[1]}`);
  const groups = new Map<string, string>();
  const group = (number: string): string => {
    if (!groups.has(number)) groups.set(number, `G${groups.size + 1}`);
    return groups.get(number)!;
  };
  const place = (hex: string): string => `A+0x${(BigInt(`0x${hex}`) - base).toString(16)}`;
  return lines.map((line) =>
    line
      .replace(/\b(addr)=0x([0-9a-f]{16})(?= )/g, (_all, key: string, hex: string) => `${key}=${place(hex)}`)
      .replace(/\b(start|end)=0x([0-9a-f]+)\b/g, (_all, key: string, hex: string) => `${key}=${place(hex)}`)
      .replace(/\bgroup=(\d+)\b/g, (_all, number: string) => `group=${group(number)}`),
  );
}

/** The lines of an output. */
export function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

/** The pairs of a scenario and a backend that it is for. */
export async function onEachBackend(names: readonly string[]): Promise<readonly (readonly [string, string])[]> {
  const pairs: (readonly [string, string])[] = [];
  for (const name of names) {
    const { text, file } = await scenarioText(name);
    const notOn = parseScenario(text, file)['not-on'];
    for (const backend of Object.keys(backends)) if (!(backend in notOn)) pairs.push([name, backend]);
  }
  return pairs;
}

/** Why a scenario is not for a backend with these settings, or null. */
export async function refusalWith(name: string, backendName: string, set: readonly string[]): Promise<string | null> {
  const { text, file } = await scenarioText(name);
  const scenario = parseScenario(text, file);
  const backend = backends[backendName]!;
  const refusal = refusalOf(scenario, backend);
  if (refusal !== null) return refusal;
  const given = { ...scenario.set, ...Object.fromEntries(set.map(parseSetting)) };
  return refusalOf(scenario, backend, resolveSettings(switchesOf(backend), given));
}
