import { IommuError, type Setting } from '@iommukit/kernel';

/** What an engine can do on any bus. */
const ENGINE_CAPABILITIES = {
  /** Width of the PASIDs it can send (0 to 20); 0: none. */
  pasidBits: 20,
  /** Every job is of the eager kind: it asks again while its PASID means nothing to the IOMMU. */
  eager: false,
  /** How often an eager job asks again at once; then as often with pauses (0 to 65536). */
  eagerTries: 32,
  /** Virtual nanoseconds between two rounds of an endless job, and between an eager job's later tries (0 to 1e9). */
  pauseNs: 1000,
};

/** What an engine can do that is a PCI function; a platform overlay overrides single values. */
export const DEFAULT_CAPABILITIES = {
  ...ENGINE_CAPABILITIES,
  /** Has an ATS capability. */
  ats: true,
  /** Has a PRI capability. */
  pri: true,
  /** Page requests that may be outstanding (1 to 65536). */
  prgCapacity: 32,
  /** Privileged Mode Supported, of its PASID capability. */
  privileged: false,
  /** PRG Response PASID Required. */
  prgPasidRequired: true,
  /** Invalidations accepted without back-pressure (1 to 32). */
  queueDepth: 32,
  /** Global Invalidate Supported. */
  globalInvalidate: false,
  /** Lines of the translation cache (4 to 65536). */
  atcEntries: 16,
  /** Traffic classes that it uses (1 to 8): it completes each invalidation so many times. */
  trafficClasses: 1,
  /** Invalidations beyond the queue's depth wait on the link. */
  pushesBack: false,
  /** An access whose translation request is answered Unsupported Request is sent untranslated; otherwise the job fails. */
  urFallback: false,
  /** What a write does that finds a cached right to read: `request` a translation, be denied, or ask for the page (ATC-3). */
  readOnlyHit: 'request',
  /**
   * What an access does whose translation request is answered Completer Abort, which says nothing about the page: ask for it,
   * once, or fail.
   */
  afterAbort: 'page-request',
};

/** What an engine can do that is a platform device. */
export const PLATFORM_CAPABILITIES = ENGINE_CAPABILITIES;

/** What every engine says about itself. */
export type EngineCapabilities = Readonly<typeof ENGINE_CAPABILITIES>;
/** The capabilities of an engine that is a PCI function. */
export type Capabilities = Readonly<typeof DEFAULT_CAPABILITIES>;
/** The capabilities of an engine that is a platform device. */
export type PlatformCapabilities = Readonly<typeof PLATFORM_CAPABILITIES>;

/** Least and greatest value of the capabilities that are numbers. */
const RANGES: Readonly<Record<string, readonly [least: number, greatest: number]>> = {
  pasidBits: [0, 20],
  prgCapacity: [1, 65536],
  queueDepth: [1, 32],
  atcEntries: [4, 65536],
  trafficClasses: [1, 8],
  eagerTries: [0, 65536],
  pauseNs: [0, 1e9],
};

/** The values of those that are words. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  readOnlyHit: ['request', 'deny', 'page-request'],
  afterAbort: ['page-request', 'fail'],
};

/**
 * The capabilities of the engine called `name` that is a PCI function.
 * @throws IommuError EINVAL for an unknown name, or a value of the wrong kind or out of range
 */
export function capabilitiesOf(given: Readonly<Record<string, Setting>>, name = 'the engine'): Capabilities {
  return { ...DEFAULT_CAPABILITIES, ...checked(given, DEFAULT_CAPABILITIES, name) };
}

/** As {@link capabilitiesOf}, for an engine that is a platform device. */
export function platformCapabilitiesOf(
  given: Readonly<Record<string, Setting>>,
  name = 'the engine',
): PlatformCapabilities {
  return { ...PLATFORM_CAPABILITIES, ...checked(given, PLATFORM_CAPABILITIES, name) };
}

function checked(
  given: Readonly<Record<string, Setting>>,
  standard: Readonly<Record<string, Setting>>,
  name: string,
): Readonly<Record<string, Setting>> {
  for (const [key, value] of Object.entries(given)) {
    if (isAllowed(key, value, standard)) continue;
    throw new IommuError('EINVAL', `${name} has no capability ${key}=${String(value)}`, {
      remedy: `there are: ${Object.keys(standard).map(describe).join(', ')}`,
    });
  }
  return given;
}

function isAllowed(key: string, value: Setting, standard: Readonly<Record<string, Setting>>): boolean {
  if (!Object.hasOwn(standard, key) || typeof standard[key] !== typeof value) return false;
  const words = WORDS[key];
  if (words !== undefined) return words.includes(String(value));
  const range = RANGES[key];
  if (range === undefined) return true;
  return Number.isInteger(value) && Number(value) >= range[0] && Number(value) <= range[1];
}

function describe(key: string): string {
  const words = WORDS[key];
  if (words !== undefined) return `${key} (${words.join(', ')})`;
  const range = RANGES[key];
  return range === undefined ? `${key} (true or false)` : `${key} (${range[0]} to ${range[1]})`;
}
