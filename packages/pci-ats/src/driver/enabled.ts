import type { Coroutine } from '@iommukit/kernel';
import { AtsCapability, CAPABILITY, PriCapability } from '../config/capabilities.js';
import { configOf, findExtCapability, type PciDevice } from './pci-device.js';

/** True while ATS Enable is 1. */
export function* atsEnabled(device: PciDevice): Coroutine<boolean> {
  const config = configOf(device);
  const at = yield* findExtCapability(config, CAPABILITY.ATS);
  return at !== 0 && AtsCapability.f.enable.of(0, yield* config.read32(at + 4)) === 1;
}

/** True while PRI Enable is 1. */
export function* priEnabled(device: PciDevice): Coroutine<boolean> {
  if (device.config === null) return false;
  const at = yield* findExtCapability(device.config, CAPABILITY.PRI);
  return at !== 0 && PriCapability.f.enable.of(0, yield* device.config.read32(at + 4)) === 1;
}
