import { type Coroutine, IommuError, type Mmio } from '@iommukit/kernel';
import { CAPABILITY, PriCapability } from '../config/capabilities.js';
import { atsEnabled, priEnabled } from './enabled.js';
import { findExtCapability, requireCapability } from './find-capability.js';

const { enable, stopped, prgResponsePasidRequired: pasidRequired } = PriCapability.f;
const WORD = 4;
const CONTROL = 4;
const CAPACITY = 8;
const ALLOCATION = 12;
const STOP_LIMIT_NS = 60e9;

/** True if the device has the page request capability; a virtual function (`pf` is its physical function) has that one's. */
export function* priSupported(config: Mmio, pf: Mmio | null = null): Coroutine<boolean> {
  return (yield* findExtCapability(pf ?? config, CAPABILITY.PRI)) !== 0;
}

/**
 * True if answers to requests with a PASID must carry it (PCI-8); of a virtual function, if those of its physical function
 * must. @throws IommuError EINVAL without PRI
 */
export function* prgResponsePasidRequired(config: Mmio, pf: Mmio | null = null): Coroutine<boolean> {
  const at = yield* requireCapability(pf ?? config, CAPABILITY.PRI);
  return pasidRequired.of(0, yield* (pf ?? config).read32(at + WORD)) === 1;
}

/**
 * Clears the device's outstanding counter and pending state; for a virtual function there is nothing to do.
 * @throws IommuError EINVAL without PRI, EBUSY while enabled
 */
export function* resetPri(config: Mmio, pf: Mmio | null = null): Coroutine<void> {
  if (pf !== null) return;
  const at = yield* requireCapability(config, CAPABILITY.PRI);
  if (enable.of(0, yield* config.read32(at + WORD)) === 1) throw busy('is enabled');
  yield* config.write16(at + CONTROL, 2);
}

/**
 * Enables page requests, at most `requests` of them outstanding. A virtual function uses those of its physical function,
 * which must be enabled already; nothing is written.
 * @returns the allocation: the smaller of `requests` and the device's capacity; 0 for a virtual function
 * @throws IommuError EINVAL (no PRI, ATS off, no requests, a virtual function's physical one off), EBUSY when enabled or not
 * stopped (PCI-3)
 */
export function* enablePri(config: Mmio, requests: number, pf: Mmio | null = null): Coroutine<number> {
  if (pf !== null) return yield* sharePri(pf);
  const at = yield* requireCapability(config, CAPABILITY.PRI);
  if (!Number.isInteger(requests) || requests < 1) {
    throw new IommuError('EINVAL', `${requests} outstanding page requests cannot be allocated`, {
      remedy: 'allow at least one',
    });
  }
  const word = yield* config.read32(at + WORD);
  if (enable.of(0, word) === 1) throw busy('is enabled');
  if (stopped.of(0, word) === 0) throw busy('has not stopped');
  if (!(yield* atsEnabled(config))) {
    throw new IommuError('EINVAL', `page requests cannot be enabled while its ATS is off`, {
      rule: 'PCI-3',
      remedy: 'enable ATS first',
    });
  }
  const allocation = Math.min(yield* config.read32(at + CAPACITY), requests);
  yield* config.write32(at + ALLOCATION, allocation);
  yield* config.write16(at + CONTROL, 1);
  return allocation;
}

function* sharePri(pf: Mmio): Coroutine<number> {
  if (yield* priEnabled(pf)) return 0;
  throw new IommuError('EINVAL', `the physical function's page requests are off`, {
    remedy: 'enable them there first',
  });
}

/**
 * Clears Enable; what is outstanding is still answered: {@link awaitPriStopped}. For a virtual function there is nothing to
 * do. @throws IommuError EINVAL when it is off
 */
export function* disablePri(config: Mmio, pf: Mmio | null = null): Coroutine<void> {
  if (pf !== null) return;
  const at = yield* requireCapability(config, CAPABILITY.PRI);
  if (enable.of(0, yield* config.read32(at + WORD)) === 0) {
    throw new IommuError('EINVAL', `page requests are not enabled`, { remedy: 'disable them once' });
  }
  yield* config.write16(at + CONTROL, 0);
}

/** Waits until every outstanding page request is answered (PCI-5). @throws IommuError ETIMEDOUT after a minute */
export function* awaitPriStopped(config: Mmio): Coroutine<void> {
  const at = yield* requireCapability(config, CAPABILITY.PRI);
  yield* config.until32(at + WORD, (word) => stopped.of(0, word) === 1, STOP_LIMIT_NS);
}

function busy(why: string): IommuError {
  return new IommuError('EBUSY', `the page request interface ${why}`, {
    rule: 'PCI-3',
    remedy: 'disable it and wait until it has stopped',
  });
}
