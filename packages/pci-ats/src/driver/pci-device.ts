import { type Coroutine, IommuError, type Mmio, type Setting } from '@iommukit/kernel';
import { CAPABILITY, FIRST_CAPABILITY } from '../config/capabilities.js';

/** What these functions need of a device; core's `Device` is one. */
export interface PciDevice {
  /** `0000:00:03.0` */
  readonly name: string;
  /** The 4096 bytes of configuration space; null for a device that is not PCI. */
  readonly config: Mmio | null;
  /** A firmware property, null when absent. */
  property(name: string): Setting | null;
}

const NAMES: Readonly<Record<number, string>> = { [CAPABILITY.ATS]: 'ATS', [CAPABILITY.PRI]: 'PRI', [CAPABILITY.PASID]: 'PASID' };

/** Configuration space of a PCI device. @throws IommuError ENODEV for another one */
export function configOf(device: PciDevice): Mmio {
  if (device.config !== null) return device.config;
  throw new IommuError('ENODEV', `${device.name} is no PCI device`, { remedy: 'ATS, PRI and PASID capabilities are PCI' });
}

/** The offset of an extended capability ({@link CAPABILITY}), or 0 if there is none. A chain that loops ends the search. */
export function* findExtCapability(config: Mmio, id: number): Coroutine<number> {
  let offset = FIRST_CAPABILITY;
  for (let n = 0; n < 1024 / 4 && offset >= FIRST_CAPABILITY; n++) {
    const header = yield* config.read32(offset);
    if (header === 0 || header === 0xffffffff) return 0;
    if ((header & 0xffff) === id) return offset;
    offset = (header >>> 20) & ~3;
  }
  return 0;
}

/** The offset of a capability that must be there. @throws IommuError EINVAL */
export function* requireCapability(device: PciDevice, id: number): Coroutine<number> {
  const offset = yield* findExtCapability(configOf(device), id);
  if (offset !== 0) return offset;
  throw new IommuError('EINVAL', `${device.name} has no ${NAMES[id]} capability`, { remedy: 'look for it before enabling it' });
}
