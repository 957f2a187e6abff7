import { type Coroutine, IommuError, type Mmio } from '@iommukit/kernel';
import { AtsCapability, CAPABILITY } from '../config/capabilities.js';
import { priEnabled } from './enabled.js';
import { findExtCapability, requireCapability } from './find-capability.js';

const { stu, enable, queueDepth, pageAligned } = AtsCapability.f;
const WORD = 4;
const CONTROL = 6;
/** STU 0 is 4 KiB. */
const LEAST_SHIFT = 12;

/** What firmware and the command line say about a function. */
export interface AtsTrust {
  /** Firmware calls it external: with translated addresses it could reach any memory. */
  readonly untrusted?: boolean;
  /** The administrator forbids ATS. */
  readonly forbidden?: boolean;
}

/**
 * True if the function has ATS and may use it. Whether the root complex does ATS is for the caller to judge. @returns false
 * for a function that is not trusted, whatever it can do
 */
export function* atsSupported(config: Mmio, trust: AtsTrust = {}): Coroutine<boolean> {
  if (trust.untrusted === true || trust.forbidden === true) return false;
  return (yield* findExtCapability(config, CAPABILITY.ATS)) !== 0;
}

/**
 * Writes the smallest translation unit, 2^pageShift bytes, ahead of {@link enableAts}, and before there are virtual
 * functions. For one of those (`pf` is its physical function) there is nothing to write.
 * @throws IommuError EINVAL (not supported, pageShift below 12), EBUSY while ATS is on (PCI-2)
 */
export function* prepareAts(config: Mmio, pageShift: number, pf: Mmio | null = null): Coroutine<void> {
  const at = yield* requireOff(config, pageShift);
  if (pf === null) yield* config.write16(at + CONTROL, control(pageShift, false));
}

/**
 * Writes STU, then Enable (PCI-2). The IOMMU's entry for the device must accept ATS already (PCI-4), and PASID must be on
 * already if it is to be used (PCI-1). A virtual function (`pf` is its physical function) has that one's STU.
 * @throws IommuError EINVAL (not supported, pageShift below 12 or not the physical function's), EBUSY when it is on
 */
export function* enableAts(config: Mmio, pageShift: number, pf: Mmio | null = null): Coroutine<void> {
  const at = yield* requireOff(config, pageShift);
  if (pf === null) yield* config.write16(at + CONTROL, control(pageShift, false));
  else yield* requireSameUnit(pf, pageShift);
  yield* config.write16(at + CONTROL, control(pf === null ? pageShift : LEAST_SHIFT, true));
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

/**
 * Invalidations that the device accepts without back-pressure, 1 to 32; 0 for a virtual function, which shares its physical
 * function's (pcie-ats.md 1.4). @throws IommuError EINVAL without ATS
 */
export function* atsQueueDepth(config: Mmio, pf: Mmio | null = null): Coroutine<number> {
  const at = yield* requireCapability(config, CAPABILITY.ATS);
  return pf === null ? queueDepth.of(0, yield* config.read32(at + WORD)) || 32 : 0;
}

/** True if untranslated addresses in the device's requests are 4 KiB aligned. @throws IommuError EINVAL without ATS */
export function* atsPageAligned(config: Mmio): Coroutine<boolean> {
  const at = yield* requireCapability(config, CAPABILITY.ATS);
  return pageAligned.of(0, yield* config.read32(at + WORD)) === 1;
}

/** The offset of the capability, while ATS is off and the unit is possible. */
function* requireOff(config: Mmio, pageShift: number): Coroutine<number> {
  const at = yield* requireCapability(config, CAPABILITY.ATS);
  if (enable.of(0, yield* config.read32(at + WORD)) === 1)
    throw new IommuError('EBUSY', `ATS is enabled already`, { rule: 'PCI-2', remedy: 'disable it first' });
  if (Number.isInteger(pageShift) && pageShift >= LEAST_SHIFT && pageShift <= LEAST_SHIFT + stu.max) return at;
  throw new IommuError('EINVAL', `a translation unit of 2^${pageShift} bytes is not possible`, {
    rule: 'PCI-2',
    remedy: `give a page shift from ${LEAST_SHIFT} to ${LEAST_SHIFT + stu.max}`,
  });
}

function* requireSameUnit(pf: Mmio, pageShift: number): Coroutine<void> {
  const at = yield* requireCapability(pf, CAPABILITY.ATS);
  const shift = LEAST_SHIFT + stu.of(0, yield* pf.read32(at + WORD));
  if (shift === pageShift) return;
  throw new IommuError('EINVAL', `the physical function's translation unit is 2^${shift} bytes, not 2^${pageShift}`, {
    rule: 'PCI-2',
    remedy: 'prepare the physical function before there are virtual ones',
  });
}

/** The 16 bits of ATS Control. */
function control(pageShift: number, on: boolean): number {
  return (pageShift - LEAST_SHIFT) | (on ? 0x8000 : 0);
}
