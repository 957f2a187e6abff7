import type { AddressSpaceFormat, Core, Device, IommuDriver } from '@iommukit/core';
import type { Coroutine, HardwarePlace, Settings, Switches } from '@iommukit/kernel';
import type { AtsEndpoint, ConfigSpace, Link, TranslationAgent } from '@iommukit/pci-ats';

/**
 * A model of an IOMMU. `parts` are the classes that it is made from, and what the machine makes it of:
 * `{ ...module, parts: { ...module.parts, Iotlb: MyIotlb } }` changes one step.
 */
export interface IommuHardwareModule<Parts extends object = object> {
  /** The `compatible` strings that it answers to. */
  readonly matches: readonly string[];
  readonly parts: Parts;
  readonly switches?: Switches;
  create(place: HardwarePlace, settings: Settings, parts?: Parts): TranslationAgent;
}

/** A PCI function, as a machine plugs it in. */
export interface Endpoint extends AtsEndpoint {
  readonly config: ConfigSpace;
}

/** A model of a PCI function; `parts` as in {@link IommuHardwareModule}. */
export interface EndpointHardwareModule<Parts extends object = object> {
  /** What a platform overlay calls it. */
  readonly model: string;
  readonly parts: Parts;
  create(place: HardwarePlace, link: Link, settings: Settings, parts?: Parts): Endpoint;
}

/** A model of a device on the platform bus; `parts` as in {@link IommuHardwareModule}. */
export interface PlatformHardwareModule<Parts extends object = object> {
  /** The `compatible` string that it answers to. */
  readonly compatible: string;
  /** What a platform overlay calls it. */
  readonly model: string;
  readonly parts: Parts;
  /** Claims its registers at `place.base`. */
  create(place: HardwarePlace, link: Link, settings: Settings, parts?: Parts): AtsEndpoint;
}

/** An IOMMU's driver; `parts` as in {@link IommuHardwareModule}. */
export interface IommuDriverModule<Parts extends object = object> {
  /** The backend's name on command lines. */
  readonly backend: string;
  /** The `compatible` strings that it drives. */
  readonly matches: readonly string[];
  readonly parts: Parts;
  readonly switches?: Switches;
  /** How CPUs beside this IOMMU write page tables, if not as core does by itself. */
  format?(settings: Settings): AddressSpaceFormat;
  create(device: Device, core: Core, parts?: Parts): IommuDriver;
}

/** A device driver, once it has its device. */
export interface EndpointDriver {
  /** Makes the device ready. @throws IommuError with the reason when it cannot be used */
  probe(): Coroutine<void>;
}

/** A driver of PCI functions or platform devices; `parts` as in {@link IommuHardwareModule}. */
export interface EndpointDriverModule<Driver extends EndpointDriver = EndpointDriver, Parts extends object = object> {
  /** `vendor:device` in hexadecimal, and `compatible` strings. */
  readonly matches: readonly string[];
  readonly parts: Parts;
  readonly switches?: Switches;
  create(device: Device, iommu: IommuDriver, core: Core, parts?: Parts): Driver;
}
