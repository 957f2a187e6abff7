import { type Coroutine, IommuError, type Mmio } from '@iommukit/kernel';
import { CAPABILITY, FIRST_CAPABILITY } from '../config/capabilities.js';

const NAMES: Readonly<Record<number, string>> = {
  [CAPABILITY.ATS]: 'ATS',
  [CAPABILITY.PRI]: 'PRI',
  [CAPABILITY.PASID]: 'PASID',
};

/**
 * The offset of an extended capability ({@link CAPABILITY}) in configuration space, or 0 if there is none. A chain that
 * loops ends the search.
 */
export function* findExtCapability(config: Mmio, id: number): Coroutine<number> {
  let offset = FIRST_CAPABILITY;
  for (let n = 0; n < 1024 && offset >= FIRST_CAPABILITY; n++) {
    const header = yield* config.read32(offset);
    if (header === 0 || header === 0xffffffff) return 0;
    if ((header & 0xffff) === id) return offset;
    offset = (header >>> 20) & ~3;
  }
  return 0;
}

/** The offset of a capability that must be there. @throws IommuError EINVAL */
export function* requireCapability(config: Mmio, id: number): Coroutine<number> {
  const offset = yield* findExtCapability(config, id);
  if (offset !== 0) return offset;
  throw new IommuError('EINVAL', `the function has no ${NAMES[id] ?? 'such'} capability`, {
    remedy: 'look for it before using it',
  });
}
