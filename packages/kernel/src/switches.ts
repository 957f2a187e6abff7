import type { Setting } from './types.js';

/** One `--set` switch, declared once by the package whose behaviour it changes. */
export interface SwitchDeclaration {
  /** The allowed values, the default first; or the type of a free value with its default. */
  readonly values: readonly string[] | { readonly type: 'number'; readonly default: number };
  /** The rule that the switch is about (`MN-12`). */
  readonly rule: string;
  /** What it does, for people. */
  readonly help: string;
}

/** Switches by their `--set` key. */
export type Switches = Readonly<Record<string, SwitchDeclaration>>;

/** The settings of a run: every declared switch with its value. */
export type Settings = Readonly<Record<string, Setting>>;
