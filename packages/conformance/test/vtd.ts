import type { PlatformIommu } from '@iommukit/firmware';
import { eventsIn } from '@iommukit/scenario';
import * as vtd from '@iommukit/vtd-driver';
import { DEFAULT_CAPABILITIES, vtdHardware } from '@iommukit/vtd-hardware';
import type { BackendManifest, Candidate } from '../src/index.js';
import { platformWith } from './smmuv3.js';
import { TWO_DRHDS, TWO_ECS_UNITS, twoDrhds } from './two-units.js';
import { VTD_WORDS } from './vtd-words.js';

const IOMMU: PlatformIommu = {
  kind: 'iommu',
  name: 'dmar@fed90000',
  path: '/dmar@fed90000',
  compatible: ['intel,vtd'],
  base: 0xfed9_0000,
  bytes: 0x1000,
  interrupts: ['fault', 'invalidation', 'page-request'].map((name, i) => ({
    name,
    type: 'line',
    number: i,
    trigger: 'edge',
  })),
  coherent: true,
  properties: {},
};

/** The backend as applications compose it. */
export const vtdBackend = {
  name: 'vtd',
  driver: vtd.vtdDriver,
  hardware: vtdHardware,
  switches: vtd.switches,
  events: eventsIn(vtd),
  capabilities: { ...DEFAULT_CAPABILITIES },
};

/** What the VT-d backend has in scalable mode, with hardware that can do everything its model does by default. */
export const VTD: BackendManifest = {
  name: 'vtd',
  ats: true,
  pri: true,
  pageGroups: true,
  overflow: true,
  stall: 'a VT-d unit holds back no transaction',
  dmaDomains: true,
  severalDevices: true,
  requestsWithoutPasid: true,
  processesWithoutPasid: true,
  broadcastMaintenance: 'x86 CPUs send interrupts, which no unit follows',
  hardwareFlags: true,
  supervisorPasid: true,
  severalUnits: true,
  encodings: true,
};

/** The backend with its default hardware. */
export function vtdCandidate(given: Partial<Candidate> = {}): Candidate {
  return {
    manifest: VTD,
    backend: vtdBackend,
    platform: platformWith(IOMMU),
    // As x86 CPUs do.
    settings: { 'hw-af-dirty': 'on' },
    encodings: VTD_WORDS,
    twoUnits: { platform: twoDrhds(platformWith(IOMMU)), ...TWO_DRHDS },
    smallRequestQueue: { requests: 160, settings: { 'vtd.prq-entries': 128, 'vtd.pri-credits': 160 } },
    ...given,
  };
}

/** Hardware without a queue of page requests, and without supervisor requests. */
export const vtdWithoutFaults = (): Candidate =>
  vtdCandidate({
    capabilities: { prs: false, srs: false },
    manifest: {
      ...VTD,
      name: 'vtd, no faults',
      gentleRefusals: 'nobody asks for pages',
      pri: 'ECAP.PRS is 0',
      pageGroups: 'ECAP.PRS is 0',
      overflow: 'ECAP.PRS is 0',
      supervisorPasid: 'ECAP.SRS is 0',
      encodings: 'the words are those of vtd',
    },
  });

/** As under a hypervisor: absence may be cached; no invalidation by page. Translation in steps, tables of 5 levels. */
export const vtdCachingMode = (): Candidate =>
  vtdCandidate({
    settings: { 'hw-af-dirty': 'on', 'caching-mode': 'on', gait: 'stepwise', 'va-bits': '57' },
    capabilities: { psi: false, fl5lp: true, sagaw: 14, mgaw: 56 },
    manifest: { ...VTD, name: 'vtd, caching mode, 5 levels', encodings: 'the words are those of vtd' },
  });

/** The extended-context mode of 2015 to 2018. */
export const vtdExtendedContexts = (): Candidate =>
  vtdCandidate({
    settings: { 'hw-af-dirty': 'on', 'vtd.mode': 'ecs' },
    twoUnits: { platform: twoDrhds(platformWith(IOMMU)), ...TWO_ECS_UNITS },
    smallRequestQueue: { requests: 255, settings: { 'vtd.prq-entries': 256, 'vtd.pri-credits': 255 } },
    manifest: {
      ...VTD,
      name: 'vtd, ECS',
      ownPasids: 'all devices of a unit share one PASID table',
      quietDeath: 'its PASID entries have no FPD',
      processesWithoutPasid: 'only requests with PASID have a first stage',
      gentleRefusals: 'drivers of its time answer Response Failure',
      encodings: 'its descriptors are tested in the driver',
    },
  });
