import type { QemuVersion } from '../process/version.js';
import type { QemuMachineSpec } from './kinds.js';
import { X86_PARKING } from './parking.js';

/** What an option of `intel-iommu` is called from which version on; older names first. */
const NAMES = {
  scalable: { old: 'x-scalable-mode', new: 'scalable-mode', since: 11 },
  firstStage: { old: 'x-flts', new: 'fsts', since: 11 },
  pasid: { old: 'x-pasid-mode=on', new: 'pasid-bits=20', since: 11 },
} as const;

const nameOf = (option: keyof typeof NAMES, { major }: QemuVersion) =>
  major >= NAMES[option].since ? NAMES[option].new : NAMES[option].old;

function q35(about: string, options: (version: QemuVersion) => readonly string[]): QemuMachineSpec {
  return {
    arch: 'x86_64',
    about,
    arguments: (version) => ['-machine', 'q35', '-device', ['intel-iommu', ...options(version)].join(',')],
    devices: [
      { model: 'edu', slot: 4 },
      { model: 'iommu-testdev', slot: 5 },
    ],
    ram: { base: 0, bytes: 128 * 2 ** 20 },
    // Video memory and the shadows of ROMs.
    holes: [{ base: 0xa_0000, bytes: 0x6_0000 }],
    iommu: { base: 0xfed9_0000, bytes: 0x1000 },
    ecam: 0xb000_0000,
    ecamByPorts: true,
    window: { base: 0xc000_0000, bytes: 0x1000_0000 },
    // VT-d's own interrupts are messages to the CPU, which nothing shows: look at its status registers instead.
    interception: { direction: 'in', path: 'ioapic', lines: {} },
    parking: X86_PARKING,
  };
}

/** q35 with VT-d: what its unit can do differs. */
export const Q35_MACHINES = {
  'vtd-legacy': q35('VT-d with legacy tables: second stage', () => []),
  'vtd-scalable': q35('VT-d in scalable mode with a first stage', (version) => [
    `${nameOf('scalable', version)}=on`,
    `${nameOf('firstStage', version)}=on`,
  ]),
  'vtd-scalable-ss': q35('VT-d in scalable mode with a second stage', (version) => [
    `${nameOf('scalable', version)}=on`,
  ]),
  // Version 10 has neither device TLBs nor page requests in scalable mode.
  'vtd-ats': q35('VT-d in scalable mode with PASIDs, device TLBs and page requests', (version) => [
    `${nameOf('scalable', version)}=on`,
    `${nameOf('firstStage', version)}=on`,
    nameOf('pasid', version),
    ...(version.major >= 11 ? ['device-iotlb=on', 'svm=on'] : []),
  ]),
} as const;
