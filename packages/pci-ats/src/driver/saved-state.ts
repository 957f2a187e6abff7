import type { Coroutine, Mmio } from '@iommukit/kernel';
import { CAPABILITY, PriCapability } from '../config/capabilities.js';
import { findExtCapability } from './find-capability.js';

/** What a function loses in a reset or outside D0 (pcie-ats.md 3). What it does not have is 0. */
export interface SavedAtsState {
  /** PASID Control. */
  readonly pasid: number;
  /** PRI Enable. */
  readonly pri: boolean;
  /** Outstanding Page Request Allocation. */
  readonly allocation: number;
  /** ATS Control: STU and Enable. */
  readonly ats: number;
}

/** The high half of a capability's second word. */
const CONTROL = 6;
const PRI_CONTROL = 4;
const ALLOCATION = 12;

/** Reads what {@link restoreAtsState} writes back after a reset. */
export function* saveAtsState(config: Mmio): Coroutine<SavedAtsState> {
  const pasid = yield* findExtCapability(config, CAPABILITY.PASID);
  const pri = yield* findExtCapability(config, CAPABILITY.PRI);
  const ats = yield* findExtCapability(config, CAPABILITY.ATS);
  return {
    pasid: pasid === 0 ? 0 : yield* config.read16(pasid + CONTROL),
    pri: pri !== 0 && PriCapability.f.enable.of(0, yield* config.read32(pri + PRI_CONTROL)) === 1,
    allocation: pri === 0 ? 0 : yield* config.read32(pri + ALLOCATION),
    ats: ats === 0 ? 0 : yield* config.read16(ats + CONTROL),
  };
}

/**
 * After a reset: PASID, then PRI, then ATS, whose cache is empty (PCI-10). Bus mastering is still off, so that nothing is sent
 * in between. The device's page requests that were outstanding before are lost.
 */
export function* restoreAtsState(config: Mmio, saved: SavedAtsState): Coroutine<void> {
  const pasid = yield* findExtCapability(config, CAPABILITY.PASID);
  if (pasid !== 0) yield* config.write16(pasid + CONTROL, saved.pasid);
  const pri = yield* findExtCapability(config, CAPABILITY.PRI);
  if (pri !== 0) {
    yield* config.write32(pri + ALLOCATION, saved.allocation);
    if (saved.pri) yield* config.write16(pri + PRI_CONTROL, 1);
  }
  const ats = yield* findExtCapability(config, CAPABILITY.ATS);
  if (ats === 0) return;
  // STU first, since it is fixed once Enable is 1 (PCI-2).
  yield* config.write16(ats + CONTROL, saved.ats & 0x7fff);
  if ((saved.ats & 0x8000) !== 0) yield* config.write16(ats + CONTROL, saved.ats);
}
