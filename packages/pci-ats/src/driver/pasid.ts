import { type Coroutine, IommuError, type Mmio } from '@iommukit/kernel';
import { CAPABILITY, PasidCapability } from '../config/capabilities.js';
import { atsEnabled } from './enabled.js';
import { findExtCapability, requireCapability } from './find-capability.js';

const { execSupported, privSupported, maxWidth, enable } = PasidCapability.f;
const WORD = 4;
const CONTROL = 6;

/** Features of PASIDs: bits of what {@link pasidFeatures} returns and {@link enablePasid} takes. */
export const PASID_FEATURE = { EXEC: 2, PRIV: 4 } as const;

/** The {@link PASID_FEATURE} bits that the device supports, or null without a PASID capability. */
export function* pasidFeatures(config: Mmio): Coroutine<number | null> {
  const at = yield* findExtCapability(config, CAPABILITY.PASID);
  return at === 0 ? null : supported(yield* config.read32(at + WORD));
}

/** Bits of a PASID that the function has; 0 without a PASID capability. */
export function* pasidBits(config: Mmio): Coroutine<number> {
  const at = yield* findExtCapability(config, CAPABILITY.PASID);
  return at === 0 ? 0 : maxWidth.of(0, yield* config.read32(at + WORD));
}

/** 2^width: one more than the largest PASID. @throws IommuError EINVAL without a PASID capability */
export function* maxPasids(config: Mmio): Coroutine<number> {
  const at = yield* requireCapability(config, CAPABILITY.PASID);
  return 2 ** maxWidth.of(0, yield* config.read32(at + WORD));
}

/**
 * Enables PASIDs with the given {@link PASID_FEATURE} bits.
 * @throws IommuError EINVAL (no capability, a feature that is not supported), EBUSY when enabled, or ATS is on (PCI-1)
 */
export function* enablePasid(config: Mmio, features = 0): Coroutine<void> {
  const at = yield* requireCapability(config, CAPABILITY.PASID);
  const word = yield* config.read32(at + WORD);
  if (enable.of(0, word) === 1) {
    throw new IommuError('EBUSY', `PASIDs are enabled already`, { remedy: 'disable them first' });
  }
  yield* refuseWhileAts(config, 'enabled');
  if ((features & ~supported(word)) !== 0) {
    throw new IommuError('EINVAL', `the function does not support PASID features 0x${features.toString(16)}`, {
      remedy: 'ask pasidFeatures what it supports',
    });
  }
  yield* config.write16(at + CONTROL, 1 | features);
}

/** Disables PASIDs. @throws IommuError EINVAL when they are off, EBUSY while ATS is on (PCI-1, PCI-5) */
export function* disablePasid(config: Mmio): Coroutine<void> {
  const at = yield* requireCapability(config, CAPABILITY.PASID);
  if (enable.of(0, yield* config.read32(at + WORD)) === 0) {
    throw new IommuError('EINVAL', `PASIDs are not enabled`, { remedy: 'disable them once' });
  }
  yield* refuseWhileAts(config, 'disabled');
  yield* config.write16(at + CONTROL, 0);
}

function supported(word: number): number {
  return (execSupported.of(0, word) ? PASID_FEATURE.EXEC : 0) | (privSupported.of(0, word) ? PASID_FEATURE.PRIV : 0);
}

function* refuseWhileAts(config: Mmio, what: string): Coroutine<void> {
  if (!(yield* atsEnabled(config))) return;
  throw new IommuError('EBUSY', `PASIDs cannot be ${what} while its ATS is on`, {
    rule: 'PCI-1',
    remedy: 'disable ATS first',
  });
}
