import {
  type BackendManifest,
  type Candidate,
  type Encodings,
  INTENTS,
  type Intent,
  NOT_SUPPORTED,
  type TwoUnits,
} from '@iommukit/conformance';
import type { PlatformDescription } from '@iommukit/firmware';
import { withUnit } from '@iommukit/machine';
import { referenceBackend } from './backend.js';

/** What the reference has; what it lacks has a reason. */
export const REFERENCE: BackendManifest = {
  name: 'reference',
  ats: true,
  pri: true,
  pageGroups: true,
  overflow: 'page requests go straight to the fault queue: nothing in between can be full',
  stall: 'an access is done or refused, and never waits',
  dmaDomains: true,
  severalDevices: true,
  requestsWithoutPasid: true,
  processesWithoutPasid: 'a row of its table without PASID has tables of a DMA domain',
  broadcastMaintenance: 'it caches nothing that CPUs could invalidate',
  hardwareFlags: 'it reads entries, and never writes them',
  supervisorPasid: 'its rows lead to the tables of processes only',
  severalUnits: true,
  encodings: true,
};

const NO_WORDS = NOT_SUPPORTED('the driver writes the table itself: there are no commands');

/** No words for any intent. */
export const REFERENCE_WORDS: Encodings = {
  observe: () => ({ take: () => [] }),
  expected: Object.fromEntries(Object.keys(INTENTS).map((intent) => [intent, NO_WORDS])) as Record<
    Intent,
    typeof NO_WORDS
  >,
};

/** One IOMMU without registers, a root complex, and 64 MiB of RAM. */
const PLATFORM: PlatformDescription = {
  source: 'devicetree',
  model: 'reference',
  cpus: 2,
  memory: [{ base: 0x4000_0000, bytes: 64 << 20 }],
  reserved: [],
  nodes: [
    {
      kind: 'iommu',
      name: 'reference-iommu',
      path: '/reference-iommu',
      compatible: ['iommukit,reference'],
      base: 0x905_0000,
      bytes: 0x1000,
      interrupts: [],
      coherent: true,
      properties: {},
    },
    {
      kind: 'pci-host',
      name: 'pcie@10000000',
      path: '/pcie@10000000',
      compatible: ['pci-host-ecam-generic'],
      segment: 0,
      busRange: [0, 0],
      ecam: { base: 0x40_1000_0000, bytes: 2 ** 20 },
      windows: [{ cpu: 0x1000_0000, pci: 0x1000_0000, bytes: 2 ** 24, space: 'mem32', prefetchable: false }],
      iommuMap: [{ ridBase: 0, iommu: '/reference-iommu', streamBase: 0, length: 0x100 }],
      iommuMapMask: 0xffff,
      atsSupported: true,
      coherent: true,
    },
  ],
};

const ALIKE = NOT_SUPPORTED('every unit can do everything');
const { platform, unit } = withUnit(PLATFORM, { name: 'second', behind: ['0000:00:04.0', '0000:00:06.0'] });

/** The same machine with a second unit. */
const TWO_UNITS: TwoUnits = {
  platform,
  second: unit.name,
  lacks: { width: ALIKE, pageRequests: ALIKE, pasids: ALIKE, tables: ALIKE, coherence: ALIKE },
};

/** What is to be proven. */
export function referenceCandidate(given: Partial<Candidate> = {}): Candidate {
  return {
    manifest: REFERENCE,
    backend: referenceBackend(),
    platform: PLATFORM,
    encodings: REFERENCE_WORDS,
    twoUnits: TWO_UNITS,
    ...given,
  };
}
