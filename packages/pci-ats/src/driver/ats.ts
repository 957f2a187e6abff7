import { type Coroutine, IommuError } from '@iommukit/kernel';
import { AtsCapability, CAPABILITY } from '../config/capabilities.js';
import { priEnabled } from './enabled.js';
import { configOf, findExtCapability, type PciDevice, requireCapability } from './pci-device.js';

const { stu, enable, queueDepth, pageAligned } = AtsCapability.f;
const WORD = 4;
const CONTROL = 6;

/** True if the device has ATS and firmware trusts it: an untrusted one could reach any memory with translated addresses. */
export function* atsSupported(device: PciDevice): Coroutine<boolean> {
  if (device.config === null || device.property('untrusted') === true) return false;
  return (yield* findExtCapability(device.config, CAPABILITY.ATS)) !== 0;
}

/**
 * Writes the smallest translation unit, 2^pageShift bytes, ahead of {@link enableAts}.
 * @throws IommuError EINVAL (not supported, pageShift below 12), EBUSY while ATS is on (PCI-2)
 */
export function* prepareAts(device: PciDevice, pageShift: number): Coroutine<void> {
  const config = configOf(device);
  const at = yield* requireAts(device, pageShift);
  if (enable.of(0, yield* config.read32(at + WORD)) === 1) throw busy(device);
  yield* config.write16(at + CONTROL, control(pageShift, false));
}

/**
 * Writes STU, then Enable (PCI-2). The IOMMU's entry for the device must accept ATS already (PCI-4), and PASID must be on
 * already if it is to be used (PCI-1).
 * @throws IommuError EINVAL (not supported, pageShift below 12), EBUSY when it is on
 */
export function* enableAts(device: PciDevice, pageShift: number): Coroutine<void> {
  const config = configOf(device);
  const at = yield* requireAts(device, pageShift);
  if (enable.of(0, yield* config.read32(at + WORD)) === 1) throw busy(device);
  yield* config.write16(at + CONTROL, control(pageShift, false));
  yield* config.write16(at + CONTROL, control(pageShift, true));
}

/**
 * Clears Enable: the device drops its cached translations.
 * @throws IommuError EINVAL when it is off, EBUSY while page requests are enabled (PCI-5)
 */
export function* disableAts(device: PciDevice): Coroutine<void> {
  const config = configOf(device);
  const at = yield* requireCapability(device, CAPABILITY.ATS);
  const word = yield* config.read32(at + WORD);
  if (enable.of(0, word) === 0) {
    throw new IommuError('EINVAL', `ATS of ${device.name} is not enabled`, { rule: 'PCI-5', remedy: 'disable it once' });
  }
  if (yield* priEnabled(device)) {
    throw new IommuError('EBUSY', `page requests of ${device.name} are still enabled`, {
      rule: 'PCI-5',
      remedy: 'disable PRI and wait until it has stopped, then disable ATS',
    });
  }
  yield* config.write16(at + CONTROL, (word >>> 16) & 0x7fff);
}

/** Invalidations that the device accepts without back-pressure, 1 to 32. @throws IommuError EINVAL without ATS */
export function* atsQueueDepth(device: PciDevice): Coroutine<number> {
  const at = yield* requireCapability(device, CAPABILITY.ATS);
  return queueDepth.of(0, yield* configOf(device).read32(at + WORD)) || 32;
}

/** True if untranslated addresses in the device's requests are 4 KiB aligned. @throws IommuError EINVAL without ATS */
export function* atsPageAligned(device: PciDevice): Coroutine<boolean> {
  const at = yield* requireCapability(device, CAPABILITY.ATS);
  return pageAligned.of(0, yield* configOf(device).read32(at + WORD)) === 1;
}

function* requireAts(device: PciDevice, pageShift: number): Coroutine<number> {
  if (!Number.isInteger(pageShift) || pageShift < 12 || pageShift > 12 + stu.max) {
    throw new IommuError('EINVAL', `a translation unit of 2^${pageShift} bytes is not possible`, {
      rule: 'PCI-2',
      remedy: `give a page shift from 12 to ${12 + stu.max}`,
    });
  }
  if (!(yield* atsSupported(device))) {
    throw new IommuError('EINVAL', `ATS of ${device.name} cannot be used: it has none, or firmware calls the device untrusted`, {
      remedy: 'ask atsSupported first',
    });
  }
  return yield* requireCapability(device, CAPABILITY.ATS);
}

/** The 16 bits of ATS Control. */
function control(pageShift: number, on: boolean): number {
  return (pageShift - 12) | (on ? 0x8000 : 0);
}

function busy(device: PciDevice): IommuError {
  return new IommuError('EBUSY', `ATS of ${device.name} is enabled already`, { rule: 'PCI-2', remedy: 'disable it first' });
}
