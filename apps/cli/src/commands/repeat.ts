import { DEFAULT_BACKEND } from '../backends.js';
import type { PlanFlags } from '../plan.js';

/** The command line that runs the same plan again, but for its schedule. */
export function repeatCommand(name: string, { backend, platform, set = [] }: PlanFlags): string {
  const words = ['npx', 'iommukit', 'run', name];
  if (backend !== DEFAULT_BACKEND) words.push('--backend', backend);
  if (platform !== undefined) words.push('--platform', platform);
  for (const setting of set) words.push('--set', setting);
  return words.map(quoted).join(' ');
}

function quoted(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Names what decides a run's machine, for messages. */
export function whereOf(name: string, { platform }: PlanFlags): string {
  return platform === undefined ? name : `${name} on ${platform}`;
}
