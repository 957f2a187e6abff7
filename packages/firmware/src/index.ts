export { FirmwareError, isFirmwareError } from './firmware-error.js';
export type { FirmwareErrorCode } from './firmware-error.js';
export type {
  AddressRange,
  InterruptType,
  PciWindow,
  PlatformDescription,
  PlatformDevice,
  PlatformInterrupt,
  PlatformInterruptController,
  PlatformIommu,
  PlatformIommuMapping,
  PlatformMsiController,
  PlatformNode,
  PlatformNodeBase,
  PlatformPciHost,
  PlatformPropertyValue,
} from './platform-description.js';
