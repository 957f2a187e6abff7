import { UsageError } from '../errors.js';

/** What `iommukit run` was told. */
export interface RunFlags {
  readonly list: boolean;
  readonly backend: string;
  readonly platform?: string;
  readonly trace?: 'ftrace' | 'json' | 'perfetto';
  readonly events?: string;
  readonly out?: string;
  readonly seed?: number;
  readonly schedule?: string;
  readonly schedules?: number;
  readonly set?: readonly string[];
}

/** A whole number from `min` on a flag. @throws SyntaxError otherwise */
export function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(number) && number >= min) return number;
    throw new SyntaxError(`'${text}' is no whole number from ${min}`);
  };
}

/** Refuses flags that contradict each other. @throws UsageError */
export function checkFlags(flags: RunFlags): void {
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
  if (flags.out !== undefined && flags.trace === undefined)
    throw new UsageError('--out is where --trace goes: give --trace too');
}
