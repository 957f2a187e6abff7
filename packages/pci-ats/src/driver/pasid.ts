import { type Coroutine, IommuError, type Mmio } from '@iommukit/kernel';
import { CAPABILITY, PasidCapability } from '../config/capabilities.js';
import { atsEnabled } from './enabled.js';
import { findExtCapability, requireCapability } from './find-capability.js';

const { execSupported, privSupported, maxWidth, enable } = PasidCapability.f;
const WORD = 4;
const CONTROL = 6;

/** Features of PASIDs: bits of what {@link pasidFeatures} returns and {@link enablePasid} takes. */
export const PASID_FEATURE = { EXEC: 2, PRIV: 4 } as const;

/** What a PASID needs on its way from the function to the root port. What is not given is taken to be fulfilled. */
export interface PasidPath {
  /** Every port passes end-to-end TLP prefixes on; false: some port does not. */
  readonly prefixes?: boolean;
  /** The function needs none, since its PASIDs do not travel in TLPs. */
  readonly prefixesWaived?: boolean;
  /** Every port redirects peer-to-peer requests to the root complex (ACS P2P Request Redirect). */
  readonly requestRedirect?: boolean;
  /** Every port forwards upstream what is meant for itself (ACS Upstream Forwarding). */
  readonly upstreamForwarding?: boolean;
  /** Of a virtual function: the configuration space of its physical function, whose PASIDs it shares. */
  readonly pf?: Mmio | null;
}

/**
 * The {@link PASID_FEATURE} bits that the device supports, or null without a PASID capability; of a virtual function, those of
 * its physical function `pf`.
 */
export function* pasidFeatures(config: Mmio, pf: Mmio | null = null): Coroutine<number | null> {
  const at = yield* findExtCapability(pf ?? config, CAPABILITY.PASID);
  return at === 0 ? null : supported(yield* (pf ?? config).read32(at + WORD));
}

/** Bits of a PASID that the function has, by its own capability or its physical function's; 0 without one. */
export function* pasidBits(config: Mmio, pf: Mmio | null = null): Coroutine<number> {
  const at = yield* findExtCapability(pf ?? config, CAPABILITY.PASID);
  return at === 0 ? 0 : maxWidth.of(0, yield* (pf ?? config).read32(at + WORD));
}

/** 2^width: one more than the largest PASID. @throws IommuError EINVAL without a PASID capability */
export function* maxPasids(config: Mmio, pf: Mmio | null = null): Coroutine<number> {
  const at = yield* requireCapability(pf ?? config, CAPABILITY.PASID);
  return 2 ** maxWidth.of(0, yield* (pf ?? config).read32(at + WORD));
}

/**
 * Enables PASIDs with the given {@link PASID_FEATURE} bits. A virtual function uses those of its physical function, which must
 * be enabled already; nothing is written.
 * @throws IommuError EINVAL (no capability, a feature that is not supported, a path that does not carry PASIDs, a physical
 * function whose PASIDs are off), EBUSY when enabled, or ATS is on (PCI-1)
 */
export function* enablePasid(config: Mmio, features = 0, path: PasidPath = {}): Coroutine<void> {
  if (path.pf !== undefined && path.pf !== null) return yield* sharePasid(path.pf);
  const at = yield* requireCapability(config, CAPABILITY.PASID);
  const word = yield* config.read32(at + WORD);
  if (enable.of(0, word) === 1) {
    throw new IommuError('EBUSY', `PASIDs are enabled already`, { remedy: 'disable them first' });
  }
  requirePath(path);
  yield* refuseWhileAts(config, 'enabled');
  if ((features & ~supported(word)) !== 0) {
    throw new IommuError('EINVAL', `the function does not support PASID features 0x${features.toString(16)}`, {
      remedy: 'ask pasidFeatures what it supports',
    });
  }
  yield* config.write16(at + CONTROL, 1 | features);
}

/**
 * Disables PASIDs; for a virtual function (`pf` is its physical function) there is nothing to do.
 * @throws IommuError EINVAL when they are off, EBUSY while ATS is on (PCI-1, PCI-5)
 */
export function* disablePasid(config: Mmio, pf: Mmio | null = null): Coroutine<void> {
  if (pf !== null) return;
  const at = yield* requireCapability(config, CAPABILITY.PASID);
  if (enable.of(0, yield* config.read32(at + WORD)) === 0) {
    throw new IommuError('EINVAL', `PASIDs are not enabled`, { remedy: 'disable them once' });
  }
  yield* refuseWhileAts(config, 'disabled');
  yield* config.write16(at + CONTROL, 0);
}

function* sharePasid(pf: Mmio): Coroutine<void> {
  const at = yield* findExtCapability(pf, CAPABILITY.PASID);
  if (at !== 0 && enable.of(0, yield* pf.read32(at + WORD)) === 1) return;
  throw new IommuError('EINVAL', `the physical function's PASIDs are off`, { remedy: 'enable them there first' });
}

/** A PASID in front of a TLP must arrive at the root complex, and with it the whole TLP. */
function requirePath({ prefixes, prefixesWaived, requestRedirect, upstreamForwarding }: PasidPath): void {
  if (prefixes === false && prefixesWaived !== true)
    throw new IommuError('EINVAL', `a port on the way to the root port passes no end-to-end prefixes on`, {
      remedy: 'put the device elsewhere',
    });
  if (requestRedirect !== false && upstreamForwarding !== false) return;
  throw new IommuError('EINVAL', `a port on the way to the root port may send requests elsewhere`, {
    remedy: 'enable ACS request redirect and upstream forwarding on the path',
  });
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
