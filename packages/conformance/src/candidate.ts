import type { PlatformDescription } from '@iommukit/firmware';
import type { Setting } from '@iommukit/kernel';
import type { Machine } from '@iommukit/machine';
import type { Backend, GivenSettings, PartOverrides } from '@iommukit/scenario';
import type { Encodings } from './encodings.js';
import type { BackendManifest } from './manifest.js';

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
  /** Switches under which 8 page requests of one device overflow the queue; needed where `overflow` is supported. */
  readonly smallRequestQueue?: GivenSettings;
  /** Parts in place of the backend's own. */
  readonly parts?: PartOverrides;
  /** The words that the driver puts into its queue. */
  readonly encodings?: Encodings;
}

/** Sees what a driver tells its hardware: made by the backend's test file, which knows where the queue is. */
export interface CommandObserver {
  /** Every command since the last call, in order: its 64-bit words in hexadecimal, lowest first. */
  take(): readonly string[];
}

/** Makes the observer of one booted machine. */
export type ObserveCommands = (machine: Machine) => CommandObserver;
