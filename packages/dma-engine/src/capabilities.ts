import { IommuError, type Setting } from '@iommukit/kernel';

/** What an engine can do; a platform overlay overrides single values. */
export const DEFAULT_CAPABILITIES = {
  /** Has an ATS capability. */
  ats: true,
  /** Has a PRI capability. */
  pri: true,
  /** Max PASID Width (0 to 20); 0: no PASID capability. */
  pasidBits: 20,
  /** Page requests that may be outstanding (1 to 65536). */
  prgCapacity: 32,
  /** PRG Response PASID Required. */
  prgPasidRequired: true,
  /** Invalidations accepted without back-pressure (1 to 32). */
  queueDepth: 32,
  /** Lines of the translation cache (4 to 65536). */
  atcEntries: 16,
} as const;

/** The capabilities of one engine. */
export type Capabilities = {
  readonly [K in keyof typeof DEFAULT_CAPABILITIES]: (typeof DEFAULT_CAPABILITIES)[K] extends boolean
    ? boolean
    : number;
};

/** Least and greatest value of the capabilities that are numbers. */
const RANGES: Readonly<Record<string, readonly [least: number, greatest: number]>> = {
  pasidBits: [0, 20],
  prgCapacity: [1, 65536],
  queueDepth: [1, 32],
  atcEntries: [4, 65536],
};

/**
 * The capabilities of the engine called `name`.
 * @throws IommuError EINVAL for an unknown name, or a value of the wrong kind or out of range
 */
export function capabilitiesOf(given: Readonly<Record<string, Setting>>, name = 'the engine'): Capabilities {
  for (const [key, value] of Object.entries(given)) {
    if (isAllowed(key, value)) continue;
    throw new IommuError('EINVAL', `${name} has no capability ${key}=${String(value)}`, {
      remedy: `there are: ${Object.keys(DEFAULT_CAPABILITIES).map(describe).join(', ')}`,
    });
  }
  return { ...DEFAULT_CAPABILITIES, ...given };
}

function standardOf(key: string): Setting | undefined {
  return Object.hasOwn(DEFAULT_CAPABILITIES, key) ? (DEFAULT_CAPABILITIES as Record<string, Setting>)[key] : undefined;
}

function isAllowed(key: string, value: Setting): boolean {
  const standard = standardOf(key);
  if (standard === undefined || typeof standard !== typeof value) return false;
  const range = RANGES[key];
  if (range === undefined) return true;
  return Number.isInteger(value) && Number(value) >= range[0] && Number(value) <= range[1];
}

function describe(key: string): string {
  const range = RANGES[key];
  return range === undefined ? `${key} (true or false)` : `${key} (${range[0]} to ${range[1]})`;
}
