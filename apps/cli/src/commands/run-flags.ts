import { UsageError } from '../errors.js';
import type { PlanFlags } from '../plan.js';
import type { RunOneFlags } from './run-one.js';

/** What `iommukit run` was told. */
export interface RunFlags extends PlanFlags, RunOneFlags {
  readonly list: boolean;
  readonly schedules?: number;
  readonly hardware: 'models' | 'qemu';
  readonly qemu?: string;
}

/** A whole number from `min` for a flag. @throws SyntaxError otherwise */
export function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(number) && number >= min) return number;
    throw new SyntaxError(`give a whole number from ${min}`);
  };
}

/** Refuses flags that contradict each other. @throws UsageError */
export function checkFlags(flags: RunFlags, scenario: string | undefined): void {
  if (flags.list && scenario !== undefined) throw new UsageError(`--list names the scenarios; leave out '${scenario}'`);
  if (flags.seed !== undefined && flags.schedule !== undefined) {
    throw new UsageError('--seed draws a schedule and --schedule replays one: give one of them');
  }
  if (flags.schedules !== undefined && flags.schedule !== undefined) {
    throw new UsageError('--schedules runs many and --schedule replays one: give one of them');
  }
  if (flags.schedules !== undefined && (flags.trace !== undefined || flags.events !== undefined)) {
    throw new UsageError(
      '--trace and --events show one run: replay one of its tokens with --schedule instead of --schedules',
    );
  }
  if (flags.hardware === 'qemu') checkForQemu(flags);
  else if (flags.qemu !== undefined)
    throw new UsageError('--qemu names the program for --hardware qemu: give that too');
  if (flags.out !== undefined && flags.trace === undefined)
    throw new UsageError('--out is where --trace goes: give --trace too');
}

function checkForQemu(flags: RunFlags): void {
  for (const name of ['schedule', 'schedules', 'seed'] as const) {
    if (flags[name] === undefined) continue;
    throw new UsageError(`--${name} is for models: runs on QEMU do not replay`);
  }
  if (flags.platform !== undefined)
    throw new UsageError('--platform describes a machine of models: with --hardware qemu QEMU has its own');
}
