export { assemble, type MachineOptions } from './assemble.js';
export type { ForeignHardware } from './foreign-hardware.js';
export { Machine, type MachineIommu } from './machine.js';
export type {
  Endpoint,
  EndpointDriver,
  EndpointDriverModule,
  EndpointHardwareModule,
  IommuDriverModule,
  IommuHardwareModule,
  PlatformHardwareModule,
} from './modules.js';
export { type EndpointDescription, iommusOf, type PlatformOverlay, pciHostsOf } from './platform.js';
export { usableMemory } from './usable-memory.js';
export { type AddedUnit, type WithUnit, withUnit } from './with-unit.js';
