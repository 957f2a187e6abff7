import type { Coroutine, Mmio } from '@iommukit/kernel';
import { AtsCapability, CAPABILITY, PriCapability } from '../config/capabilities.js';
import { findExtCapability } from './find-capability.js';

/** True while ATS Enable is 1. */
export function* atsEnabled(config: Mmio): Coroutine<boolean> {
  const at = yield* findExtCapability(config, CAPABILITY.ATS);
  return at !== 0 && AtsCapability.f.enable.of(0, yield* config.read32(at + 4)) === 1;
}

/** True while PRI Enable is 1. */
export function* priEnabled(config: Mmio): Coroutine<boolean> {
  const at = yield* findExtCapability(config, CAPABILITY.PRI);
  return at !== 0 && PriCapability.f.enable.of(0, yield* config.read32(at + 4)) === 1;
}
