import {
  findQemu,
  isQemuError,
  platformOfQemu,
  QEMU_MACHINES,
  QemuHardware,
  type QemuMachineKind,
  startQemu,
} from '../../qemu/src/index.js';
import type { Candidate } from '../src/index.js';
import { smmuv3Candidate } from './smmuv3.js';
import { vtdCandidate } from './vtd.js';

const ONLY_COPIES = 'no device of QEMU sends PASIDs, and its edu copies and tells nobody how it went';

/** Why QEMU cannot be had here, or null. */
export function absence(kind: QemuMachineKind): string | null {
  try {
    findQemu(QEMU_MACHINES[kind].arch);
    return null;
  } catch (error) {
    if (isQemuError(error)) return error.message;
    throw error;
  }
}

/** A candidate's driver, on a machine of QEMU in place of its hardware. */
export function onQemu(candidate: Candidate, kind: QemuMachineKind): Candidate {
  const start = () => {
    const more = ['-device', 'edu,addr=03.0,dma_mask=0xffffffffffffffff'];
    const qemu = startQemu(findQemu(QEMU_MACHINES[kind].arch), kind, { arguments: more });
    try {
      const platform = platformOfQemu(candidate.platform, qemu);
      return { hardware: new QemuHardware(qemu, platform), platform, stop: () => qemu.stop() };
    } catch (error) {
      qemu.stop();
      throw error;
    }
  };
  return { ...candidate, hardware: start };
}

/** The SMMUv3 driver on QEMU. */
export const smmuv3OnQemu = (): Candidate =>
  onQemu(
    smmuv3Candidate({
      manifest: {
        name: 'smmuv3 on QEMU',
        onlyCopies: ONLY_COPIES,
        dmaDomains: true,
        processesWithoutPasid: true,
      },
    }),
    'smmuv3',
  );

/** The VT-d driver in legacy mode on QEMU. */
export const legacyVtdOnQemu = (): Candidate =>
  onQemu(
    vtdCandidate({
      settings: { 'vtd.mode': 'legacy' },
      manifest: {
        name: 'vtd on QEMU, legacy',
        onlyCopies: ONLY_COPIES,
        dmaDomains: true,
        processesWithoutPasid: 'legacy mode has no first stage',
      },
    }),
    'vtd-legacy',
  );

/** The VT-d driver in scalable mode on QEMU, with a second stage. */
export const secondStageOnQemu = (): Candidate =>
  onQemu(
    vtdCandidate({
      settings: {},
      manifest: {
        name: 'vtd on QEMU, second stage',
        onlyCopies: ONLY_COPIES,
        dmaDomains: true,
        processesWithoutPasid: 'ECAP.FLTS is 0 where ECAP.SLTS is 1',
      },
    }),
    'vtd-scalable-ss',
  );

/** The VT-d driver in scalable mode on QEMU, with a first stage. */
export const firstStageOnQemu = (): Candidate =>
  onQemu(
    vtdCandidate({
      settings: {},
      manifest: {
        name: 'vtd on QEMU, first stage',
        onlyCopies: ONLY_COPIES,
        dmaDomains: 'ECAP.SLTS is 0 where ECAP.FLTS is 1',
        processesWithoutPasid: true,
      },
    }),
    'vtd-scalable',
  );
