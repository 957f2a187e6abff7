export type { AcpiSurroundings } from './acpi-surroundings.js';
export { type AcpiHeader, AcpiTable, acpiSignature } from './acpi-table.js';
export { AddressSpace } from './address-space.js';
export type { DeviceTree, DeviceTreeNode } from './devicetree.js';
export { atsSupported, canStall, dmaCoherent, pasidBits } from './dma-traits.js';
export type {
  Dmar,
  DmarAndd,
  DmarAtsr,
  DmarDrhd,
  DmarHop,
  DmarRhsa,
  DmarRmrr,
  DmarSatc,
  DmarScope,
  DmarStructure,
  DmarStructureBase,
  DmarUnknown,
} from './dmar.js';
export type { FirmwareErrorCode } from './firmware-error.js';
export { FirmwareError, isFirmwareError } from './firmware-error.js';
export { interruptParent, interrupts } from './interrupts.js';
export type { IommuMapEntry, MsiMapEntry } from './iommu-map.js';
export { iommuMap, iommuMapMask, iommus, msiMap, streamOf } from './iommu-map.js';
export type {
  Iort,
  IortItsGroup,
  IortMapping,
  IortMemoryAccess,
  IortNamedComponent,
  IortNode,
  IortNodeBase,
  IortPmcg,
  IortReserved,
  IortRootComplex,
  IortSmmu,
  IortSmmuV3,
  IortUnknown,
} from './iort.js';
export { MAX_DEPTH, MAX_NAME, parseDevicetree } from './parse-devicetree.js';
export { parseDmar } from './parse-dmar.js';
export { parseIort } from './parse-iort.js';
export { type McfgEntry, parseMcfg } from './parse-mcfg.js';
export type { PciHost } from './pci-host.js';
export { isPciHost, pciHost } from './pci-host.js';
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
export { platformFromDevicetree } from './platform-from-devicetree.js';
export { type DmarBridge, type DmarSurroundings, platformFromDmar } from './platform-from-dmar.js';
export { type IortSurroundings, platformFromIort } from './platform-from-iort.js';
export { compatible, compatibles, enabled, string, strings, u32, u32s, u64 } from './properties.js';
export type { Cells } from './reg.js';
export { cellsOf, reg } from './reg.js';
