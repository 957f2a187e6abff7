import type { PlatformDescription } from '@iommukit/firmware';
import type { Setting } from '@iommukit/kernel';
import type { ForeignHardware, Machine } from '@iommukit/machine';
import type { Backend, GivenSettings, PartOverrides } from '@iommukit/scenario';
import type { Encodings } from './encodings.js';
import type { BackendManifest } from './manifest.js';
import type { TwoUnits } from './two-units.js';

/** What is to be proven: a backend, with everything that a machine needs of it. */
export interface Candidate {
  readonly manifest: BackendManifest;
  /** Driver and hardware, as an application composes them. */
  readonly backend: Backend;
  /**
   * Where things are: one IOMMU, a root complex of segment 0 whose functions 00:03.0 to 00:06.0 are behind it, at least
   * 16 MiB of RAM, and nothing at 0xa000000.
   */
  readonly platform: PlatformDescription;
  /** Switches that are not at their default. */
  readonly settings?: GivenSettings;
  /** What the hardware can do, where that is not its default. */
  readonly capabilities?: Readonly<Record<string, Setting>>;
  /** How the queue of page requests overflows; needed where `overflow` is supported. */
  readonly smallRequestQueue?: SmallRequestQueue;
  /** A machine with two units that may differ; needed where `severalUnits` is supported. */
  readonly twoUnits?: TwoUnits;
  /**
   * Hardware that is not modelled, in place of the backend's: started for each test anew, and run under the fair schedule only,
   * for it does not go backwards. It has an `edu` at 00:03.0 and at 00:04.0.
   */
  readonly hardware?: () => ForeignMachine;
  /** Parts in place of the backend's own. */
  readonly parts?: PartOverrides;
  /** The words that the driver puts into its queue. */
  readonly encodings?: Encodings;
}

/** A machine that is there already. */
export interface ForeignMachine {
  readonly hardware: ForeignHardware;
  readonly platform: PlatformDescription;
  /** Ends it. */
  stop(): void;
}

/** A queue of page requests that is easily full. */
export interface SmallRequestQueue {
  /** Switches under which the queue holds fewer than {@link requests}, and one device may have so many outstanding. */
  readonly settings: GivenSettings;
  /** Page requests that overflow it (at most 255). */
  readonly requests: number;
}

/** Sees what a driver tells its hardware: made by the backend's test file, which knows where the queue is. */
export interface CommandObserver {
  /** Every command since the last call, in order: its 64-bit words in hexadecimal, lowest first. */
  take(): readonly string[];
}

/** Makes the observer of one booted machine. */
export type ObserveCommands = (machine: Machine) => CommandObserver;
