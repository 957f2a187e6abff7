import { IommuError, type Setting } from '@iommukit/kernel';

/** What an engine can do; a platform overlay overrides single values. */
export const DEFAULT_CAPABILITIES = {
  /** Has an ATS capability. */
  ats: true,
  /** Has a PRI capability. */
  pri: true,
  /** Max PASID Width (0 to 20); 0: no PASID capability. */
  pasidBits: 20,
  /** Page requests that may be outstanding. */
  prgCapacity: 32,
  /** PRG Response PASID Required. */
  prgPasidRequired: true,
  /** Invalidations accepted without back-pressure (1 to 32). */
  queueDepth: 32,
  /** Lines of the translation cache. */
  atcEntries: 16,
} as const;

/** The capabilities of one engine. */
export type Capabilities = {
  readonly [K in keyof typeof DEFAULT_CAPABILITIES]: (typeof DEFAULT_CAPABILITIES)[K] extends boolean
    ? boolean
    : number;
};

/** @throws IommuError EINVAL for an unknown name or a value of the wrong kind */
export function capabilitiesOf(given: Readonly<Record<string, Setting>>): Capabilities {
  for (const [name, value] of Object.entries(given)) {
    const standard = (DEFAULT_CAPABILITIES as Record<string, Setting>)[name];
    if (standard !== undefined && typeof standard === typeof value) continue;
    const known = Object.entries(DEFAULT_CAPABILITIES).map(([key, normal]) => `${key} (${typeof normal})`);
    throw new IommuError('EINVAL', `the engine has no capability ${name}=${String(value)}`, {
      remedy: `there are: ${known.join(', ')}`,
    });
  }
  return { ...DEFAULT_CAPABILITIES, ...given };
}
