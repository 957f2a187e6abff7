import type { GivenSettings } from '@iommukit/scenario';
import type { Bench } from './bench.js';
import type { Feature, OptionalFeature } from './manifest.js';
import type { Lack } from './two-units.js';

/**
 * How an accelerator reaches memory: `pri` a PCI function with ATS that asks for pages, `ats` one that does not, `stall` a
 * platform device whose faulting accesses wait; `copies` a PCI function without PASIDs and ATS, of which a test wants
 * nothing but copies.
 */
export type Way = 'pri' | 'ats' | 'stall' | 'copies';

/** Those that have PASIDs. */
export const WAYS: readonly Way[] = ['pri', 'ats', 'stall'];

/** All of them. */
export const EVERY_WAY: readonly Way[] = [...WAYS, 'copies'];

/** What a way needs of a backend. */
export const NEEDS_OF_WAY: Readonly<Record<Way, readonly OptionalFeature[]>> = {
  pri: ['ats', 'pri'],
  ats: ['ats'],
  stall: ['stall'],
  copies: [],
};

/** One device of a test, where it is not the default. */
export interface DeviceWish {
  /** Width of its PASIDs (default 20; 0: none). */
  readonly pasidBits?: number;
  /** It has an ATS capability (default true). */
  readonly ats?: boolean;
  /** It has a PRI capability (default: by the way; of a probe true). */
  readonly pri?: boolean;
  /** Answers to its page requests must name the PASID (default true). */
  readonly prgPasidRequired?: boolean;
  /** Page requests that it may have outstanding (default 32). */
  readonly prgCapacity?: number;
  /** A platform device may stall (default true). */
  readonly stall?: boolean;
  /** Firmware says that it is outside (default false). */
  readonly untrusted?: boolean;
}

/** The machine that a test needs, where it is not the default. */
export interface MachineWish {
  /** Accelerators with their driver, features on (default: one for tests with ways, else none). */
  readonly engines?: readonly DeviceWish[];
  /** PCI functions that the test speaks for, features off (default: none). */
  readonly probes?: readonly DeviceWish[];
  /** Two units: the second accelerator and the second probe are behind the second one, which lacks this (null: nothing). */
  readonly twoUnits?: Lack | null;
  /** Devices ask for what no device should: what that brings about in the trace is not judged (INV-18). */
  readonly hostile?: boolean;
  /** Switches beside the candidate's. */
  readonly settings?: GivenSettings;
  /** The candidate's switches for a small queue of page requests are on. */
  readonly smallRequestQueue?: boolean;
}

/** One test of the kit. */
export interface ConformanceTest {
  /** A sentence with a verb; rule ids where it exists because of one. */
  readonly name: string;
  /** The row of the table that it counts for. */
  readonly feature: Feature;
  /** Further features that it needs: without them it does not run. */
  readonly needs?: readonly OptionalFeature[];
  /** True: it runs where `feature` is absent, and proves that asking for it is refused. */
  readonly counter?: boolean;
  /** Runs once with an accelerator of each of these kinds, as far as the backend supports them; none: runs once. */
  readonly ways?: readonly Way[];
  readonly machine?: MachineWish;
  /** False: runs under the fair schedule only, because it is about results, or many runs in one. */
  readonly schedules?: false;
  /**
   * Starts the test's processes and tasks; called for each schedule anew. What it returns is called when all have ended.
   * Fails by throwing, at any time.
   */
  body(bench: Bench): (() => void) | undefined;
}
