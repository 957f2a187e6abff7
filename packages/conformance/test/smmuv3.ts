import type { PlatformDescription, PlatformIommu } from '@iommukit/firmware';
import { eventsIn } from '@iommukit/scenario';
import * as smmuv3 from '@iommukit/smmuv3-driver';
import { DEFAULT_CAPABILITIES, smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import type { BackendManifest, Candidate } from '../src/index.js';
import { SMMUV3_BROADCAST_WORDS, SMMUV3_WORDS } from './smmuv3-words.js';
import { TWO_SMMUS, twoSmmus } from './two-units.js';

const IOMMU: PlatformIommu = {
  kind: 'iommu',
  name: 'smmuv3@9050000',
  path: '/smmuv3@9050000',
  compatible: ['arm,smmu-v3'],
  base: 0x905_0000,
  bytes: 0x20000,
  interrupts: ['eventq', 'priq', 'cmdq-sync', 'gerror'].map((name, i) => ({
    name,
    type: 'spi',
    number: 74 + i,
    trigger: 'edge',
  })),
  coherent: true,
  properties: {},
};

/** A machine with an IOMMU, a root complex whose requester ids are its streams, and 64 MiB of RAM. */
export function platformWith(iommu: PlatformIommu): PlatformDescription {
  return {
    source: 'devicetree',
    model: 'conformance',
    cpus: 2,
    memory: [{ base: 0x4000_0000, bytes: 64 << 20 }],
    reserved: [],
    nodes: [
      iommu,
      {
        kind: 'pci-host',
        name: 'pcie@10000000',
        path: '/pcie@10000000',
        compatible: ['pci-host-ecam-generic'],
        segment: 0,
        busRange: [0, 0],
        ecam: { base: 0x40_1000_0000, bytes: 2 ** 20 },
        windows: [{ cpu: 0x1000_0000, pci: 0x1000_0000, bytes: 2 ** 24, space: 'mem32', prefetchable: false }],
        iommuMap: [{ ridBase: 0, iommu: iommu.path, streamBase: 0, length: 0x100 }],
        iommuMapMask: 0xffff,
        atsSupported: true,
        coherent: true,
      },
    ],
  };
}

/** The backend as applications compose it. */
export const smmuv3Backend = {
  name: 'smmuv3',
  driver: smmuv3.smmuv3Driver,
  hardware: smmuV3Hardware,
  switches: smmuv3.switches,
  events: eventsIn(smmuv3),
  capabilities: { ...DEFAULT_CAPABILITIES },
};

/** What the SMMUv3 backend has, with hardware that can do everything its model does by default. */
export const SMMUV3: BackendManifest = {
  name: 'smmuv3',
  ats: true,
  pri: true,
  pageGroups: true,
  overflow: true,
  stall: true,
  dmaDomains: true,
  severalDevices: true,
  requestsWithoutPasid: true,
  processesWithoutPasid: true,
  broadcastMaintenance: 'IDR0.BTM is 0',
  hardwareFlags: 'IDR0.HTTU is 0',
  supervisorPasid: 'an SMMUv3 has no supervisor PASIDs',
  severalUnits: true,
  encodings: true,
};

/** The backend with its default hardware. */
export function smmuv3Candidate(given: Partial<Candidate> = {}): Candidate {
  return {
    manifest: SMMUV3,
    backend: smmuv3Backend,
    platform: platformWith(IOMMU),
    encodings: SMMUV3_WORDS,
    twoUnits: { platform: twoSmmus(platformWith(IOMMU)), ...TWO_SMMUS },
    smallRequestQueue: { requests: 8, settings: { 'smmuv3.priq-entries': 4, 'smmuv3.pri-credits': 8 } },
    ...given,
  };
}

/** Hardware that has a cache of translations in its devices and no way to wait for pages. */
export const withoutFaults = (): Candidate =>
  smmuv3Candidate({
    capabilities: { pri: false, stall: 'none' },
    manifest: {
      ...SMMUV3,
      name: 'smmuv3, no faults',
      gentleRefusals: 'nobody asks for pages',
      pri: 'IDR0.PRI is 0',
      pageGroups: 'IDR0.PRI is 0',
      overflow: 'IDR0.PRI is 0',
      stall: 'IDR0.STALL_MODEL is 1',
      encodings: 'the words are those of smmuv3',
    },
  });

/** Hardware without ATS, whose platform devices stall. */
export const withoutAts = (): Candidate =>
  smmuv3Candidate({
    capabilities: { ats: false, pri: false },
    manifest: {
      ...SMMUV3,
      name: 'smmuv3, no ATS',
      ats: 'IDR0.ATS is 0',
      gentleRefusals: 'nobody asks for pages',
      pri: 'IDR0.PRI is 0',
      pageGroups: 'IDR0.PRI is 0',
      overflow: 'IDR0.PRI is 0',
      encodings: 'the words are those of smmuv3',
    },
  });

/** Hardware that follows the CPUs and sets flags, and translates in steps; PCI functions only. */
export const followingCpus = (): Candidate =>
  smmuv3Candidate({
    settings: { btm: 'on', 'hw-af-dirty': 'on', gait: 'stepwise' },
    capabilities: { stall: 'none' },
    encodings: SMMUV3_BROADCAST_WORDS,
    manifest: {
      ...SMMUV3,
      name: 'smmuv3, BTM and HTTU',
      stall: 'IDR0.STALL_MODEL is 1',
      broadcastMaintenance: true,
      hardwareFlags: true,
    },
  });
