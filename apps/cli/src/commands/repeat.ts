import { DEFAULT_BACKEND } from '../backends.js';
import type { PlanFlags } from '../plan.js';

/** What decides a run but its schedule. */
export interface RepeatFlags extends PlanFlags {
  readonly hardware?: 'models' | 'qemu';
  readonly qemu?: string;
}

/** The command line that runs the same plan again, but for its schedule. */
export function repeatCommand(name: string, { backend, platform, set = [], hardware, qemu }: RepeatFlags): string {
  const words = ['npx', 'iommukit', 'run', name];
  if (backend !== DEFAULT_BACKEND) words.push('--backend', backend);
  if (platform !== undefined) words.push('--platform', platform);
  if (hardware === 'qemu') words.push('--hardware', 'qemu');
  if (qemu !== undefined) words.push('--qemu', qemu);
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
