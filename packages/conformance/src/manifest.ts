/** True, or the reason in words why the backend does not have it. */
export type Support = true | string;

/** What a backend may lack. What a manifest does not name is absent. */
export const OPTIONAL_FEATURES = {
  ats: 'devices translate by themselves (ATS): what they are granted, and invalidations that are waited for',
  pri: 'devices ask for pages (PRI)',
  pageGroups: 'several page requests are answered as one group',
  overflow: 'the queue of page requests overflows, and nobody waits for ever',
  stall: 'faulting accesses of platform devices wait',
  dmaDomains: 'classic DMA domains',
  severalDevices: 'several devices in one DMA domain',
  requestsWithoutPasid: 'a device in a DMA domain serves processes too',
  processesWithoutPasid: 'the memory of a process for requests without PASID',
  broadcastMaintenance: 'the IOMMU follows the TLB maintenance that CPUs broadcast',
  hardwareFlags: 'hardware sets the access flag and the dirty state of entries',
  supervisorPasid: "a PASID for the kernel's own addresses",
  severalUnits: 'several units in one machine: one PASID serves a process behind all of them, or the bind is refused',
  encodings: 'every intent in the words of the specification',
} as const;

/** A key of {@link OPTIONAL_FEATURES}. */
export type OptionalFeature = keyof typeof OPTIONAL_FEATURES;

/** What every backend has. */
export const REQUIRED_FEATURES = {
  lifeCycle: 'start, probe and release of devices',
  featureOrder: 'features in their order, each refusal with its code',
  bind: 'bind and unbind: one handle a device and process, one PASID a process',
  pasidWidth: 'PASIDs fit the device',
  pageFaults: 'page faults of devices',
  coherence: 'devices see what munmap, mprotect, mremap, madvise, fork, exec, migration and reclaim do',
  exit: 'processes die at any moment',
  isolation: 'a device reaches what is bound to it, and nothing else',
  noMemory: 'any allocation may fail',
  translation: 'TranslationAgent: translations agree with the tables',
  hostility: 'TranslationAgent: hostile messages do no harm',
} as const;

/** A key of {@link REQUIRED_FEATURES}. */
export type RequiredFeature = keyof typeof REQUIRED_FEATURES;

/** What every backend of today has: a manifest that does not have it must say why. */
export const EXPECTED_FEATURES = {
  ownPasids: 'a PASID means nothing to devices that it is not bound to',
  quietDeath: 'nothing is recorded of a dead process before its unbind',
  gentleRefusals: "page requests that are nobody's business are answered INVALID, which stops no others",
} as const;

/** A key of {@link EXPECTED_FEATURES}. */
export type ExpectedFeature = keyof typeof EXPECTED_FEATURES;

/** A row of the table. */
export type Feature = RequiredFeature | ExpectedFeature | OptionalFeature;

/** In the order of the table, with what they are. */
export const FEATURES: Readonly<Record<Feature, string>> = {
  ...REQUIRED_FEATURES,
  ...EXPECTED_FEATURES,
  ...OPTIONAL_FEATURES,
};

/** What a backend says about itself, in public: nothing else can keep a test from running. */
export interface BackendManifest extends Readonly<Partial<Record<ExpectedFeature | OptionalFeature, Support>>> {
  /** Names the column of the table: `smmuv3`, `smmuv3 without PRI`. */
  readonly name: string;
  /**
   * Why the machine's devices can do no more than copy, without PASIDs, and tell nobody how it went: then only what shows with
   * such devices is tested ({@link COPYING}). Of hardware that is not modelled.
   */
  readonly onlyCopies?: string;
}

/** What shows with devices that only copy. */
export const COPYING: ReadonlySet<Feature> = new Set<Feature>(['dmaDomains', 'processesWithoutPasid']);

/** True if the manifest says that the backend has it. What every backend has needs no word. */
export function supports(manifest: BackendManifest, feature: Feature): boolean {
  if (manifest.onlyCopies !== undefined && !COPYING.has(feature)) return false;
  if (feature in REQUIRED_FEATURES) return true;
  return (manifest[feature as OptionalFeature] ?? feature in EXPECTED_FEATURES) === true;
}

/** Why the backend does not have it, or null. */
export function reasonOf(manifest: BackendManifest, feature: Feature): string | null {
  if (supports(manifest, feature)) return null;
  if (manifest.onlyCopies !== undefined && !COPYING.has(feature)) return manifest.onlyCopies;
  const support = manifest[feature as OptionalFeature];
  return typeof support === 'string' ? support : 'its manifest does not name it';
}
