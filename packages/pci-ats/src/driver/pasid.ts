import { type Coroutine, IommuError } from '@iommukit/kernel';
import { CAPABILITY, PasidCapability } from '../config/capabilities.js';
import { atsEnabled } from './enabled.js';
import { configOf, findExtCapability, type PciDevice, requireCapability } from './pci-device.js';

const { execSupported, privSupported, maxWidth, enable } = PasidCapability.f;
const WORD = 4;
const CONTROL = 6;

/** Features of PASIDs: bits of what {@link pasidFeatures} returns and {@link enablePasid} takes. */
export const PASID_FEATURE = { EXEC: 2, PRIV: 4 } as const;

/** The {@link PASID_FEATURE} bits that the device supports, or null without a PASID capability. */
export function* pasidFeatures(device: PciDevice): Coroutine<number | null> {
  if (device.config === null) return null;
  const at = yield* findExtCapability(device.config, CAPABILITY.PASID);
  return at === 0 ? null : supported(yield* device.config.read32(at + WORD));
}

/** 2^width: one more than the largest PASID. @throws IommuError EINVAL without a PASID capability */
export function* maxPasids(device: PciDevice): Coroutine<number> {
  const at = yield* requireCapability(device, CAPABILITY.PASID);
  return 2 ** maxWidth.of(0, yield* configOf(device).read32(at + WORD));
}

/**
 * Enables PASIDs with the given {@link PASID_FEATURE} bits.
 * @throws IommuError EINVAL (no capability, a feature that is not supported), EBUSY when enabled, or ATS is on (PCI-1)
 */
export function* enablePasid(device: PciDevice, features = 0): Coroutine<void> {
  const config = configOf(device);
  const at = yield* requireCapability(device, CAPABILITY.PASID);
  const word = yield* config.read32(at + WORD);
  if (enable.of(0, word) === 1) {
    throw new IommuError('EBUSY', `PASIDs of ${device.name} are enabled already`, { remedy: 'disable them first' });
  }
  yield* refuseWhileAts(device, 'enabled');
  if ((features & ~supported(word)) !== 0) {
    throw new IommuError('EINVAL', `${device.name} does not support PASID features 0x${features.toString(16)}`, {
      remedy: 'ask pasidFeatures what it supports',
    });
  }
  yield* config.write16(at + CONTROL, 1 | features);
}

/** Disables PASIDs. @throws IommuError EINVAL when they are off, EBUSY while ATS is on (PCI-1, PCI-5) */
export function* disablePasid(device: PciDevice): Coroutine<void> {
  const config = configOf(device);
  const at = yield* requireCapability(device, CAPABILITY.PASID);
  if (enable.of(0, yield* config.read32(at + WORD)) === 0) {
    throw new IommuError('EINVAL', `PASIDs of ${device.name} are not enabled`, { remedy: 'disable them once' });
  }
  yield* refuseWhileAts(device, 'disabled');
  yield* config.write16(at + CONTROL, 0);
}

function supported(word: number): number {
  return (execSupported.of(0, word) ? PASID_FEATURE.EXEC : 0) | (privSupported.of(0, word) ? PASID_FEATURE.PRIV : 0);
}

function* refuseWhileAts(device: PciDevice, what: string): Coroutine<void> {
  if (!(yield* atsEnabled(device))) return;
  throw new IommuError('EBUSY', `PASIDs of ${device.name} cannot be ${what} while its ATS is on`, {
    rule: 'PCI-1',
    remedy: 'disable ATS first',
  });
}
