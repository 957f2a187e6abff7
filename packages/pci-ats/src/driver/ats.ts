import { type Coroutine, IommuError, type Mmio } from '@iommukit/kernel';
import { AtsCapability, CAPABILITY } from '../config/capabilities.js';
import { priEnabled } from './enabled.js';
import { findExtCapability, requireCapability } from './find-capability.js';

const { stu, enable, queueDepth, pageAligned } = AtsCapability.f;
const WORD = 4;
const CONTROL = 6;

/**
 * True if the function has ATS. Whether it may use it is the caller's to judge: not one that firmware calls untrusted, which
 * could reach any memory with translated addresses, nor one below a root complex without ATS.
 */
export function* atsSupported(config: Mmio): Coroutine<boolean> {
  return (yield* findExtCapability(config, CAPABILITY.ATS)) !== 0;
}

/**
 * Writes the smallest translation unit, 2^pageShift bytes, ahead of {@link enableAts}.
 * @throws IommuError EINVAL (not supported, pageShift below 12), EBUSY while ATS is on (PCI-2)
 */
export function* prepareAts(config: Mmio, pageShift: number): Coroutine<void> {
  const at = yield* requireAts(config, pageShift);
  if (enable.of(0, yield* config.read32(at + WORD)) === 1) throw busy();
  yield* config.write16(at + CONTROL, control(pageShift, false));
}

/**
 * Writes STU, then Enable (PCI-2). The IOMMU's entry for the device must accept ATS already (PCI-4), and PASID must be on
 * already if it is to be used (PCI-1).
 * @throws IommuError EINVAL (not supported, pageShift below 12), EBUSY when it is on
 */
export function* enableAts(config: Mmio, pageShift: number): Coroutine<void> {
  const at = yield* requireAts(config, pageShift);
  if (enable.of(0, yield* config.read32(at + WORD)) === 1) throw busy();
  yield* config.write16(at + CONTROL, control(pageShift, false));
  yield* config.write16(at + CONTROL, control(pageShift, true));
}

/**
 * Clears Enable: the device drops its cached translations.
 * @throws IommuError EINVAL when it is off, EBUSY while page requests are enabled (PCI-5)
 */
export function* disableAts(config: Mmio): Coroutine<void> {
  const at = yield* requireCapability(config, CAPABILITY.ATS);
  const word = yield* config.read32(at + WORD);
  if (enable.of(0, word) === 0) {
    throw new IommuError('EINVAL', `ATS is not enabled`, { rule: 'PCI-5', remedy: 'disable it once' });
  }
  if (yield* priEnabled(config)) {
    throw new IommuError('EBUSY', `page requests are still enabled`, {
      rule: 'PCI-5',
      remedy: 'disable PRI and wait until it has stopped, then disable ATS',
    });
  }
  yield* config.write16(at + CONTROL, (word >>> 16) & 0x7fff);
}

/** Invalidations that the device accepts without back-pressure, 1 to 32. @throws IommuError EINVAL without ATS */
export function* atsQueueDepth(config: Mmio): Coroutine<number> {
  const at = yield* requireCapability(config, CAPABILITY.ATS);
  return queueDepth.of(0, yield* config.read32(at + WORD)) || 32;
}

/** True if untranslated addresses in the device's requests are 4 KiB aligned. @throws IommuError EINVAL without ATS */
export function* atsPageAligned(config: Mmio): Coroutine<boolean> {
  const at = yield* requireCapability(config, CAPABILITY.ATS);
  return pageAligned.of(0, yield* config.read32(at + WORD)) === 1;
}

function* requireAts(config: Mmio, pageShift: number): Coroutine<number> {
  if (!Number.isInteger(pageShift) || pageShift < 12 || pageShift > 12 + stu.max) {
    throw new IommuError('EINVAL', `a translation unit of 2^${pageShift} bytes is not possible`, {
      rule: 'PCI-2',
      remedy: `give a page shift from 12 to ${12 + stu.max}`,
    });
  }
  return yield* requireCapability(config, CAPABILITY.ATS);
}

/** The 16 bits of ATS Control. */
function control(pageShift: number, on: boolean): number {
  return (pageShift - 12) | (on ? 0x8000 : 0);
}

function busy(): IommuError {
  return new IommuError('EBUSY', `ATS is enabled already`, { rule: 'PCI-2', remedy: 'disable it first' });
}
