import type { Core, Device, IommuDriver } from '@iommukit/core';
import type { AccessWidth, Coroutine, HardwarePlace } from '@iommukit/kernel';
import { type Downstream, PciFunction } from '@iommukit/pci-ats';
import type { Endpoint, EndpointDriver } from '../src/index.js';

/** A PCI function with register windows of given sizes, which do nothing. */
export class Gadget implements Endpoint {
  readonly fn: PciFunction;

  constructor(place: HardwarePlace, sizes: readonly number[]) {
    const bars = sizes.map((bytes, i) => ({
      bytes,
      read(_offset: number, _width: AccessWidth, out: Uint32Array): void {
        out[0] = 0xb0 + i;
      },
      write(): void {},
    }));
    const ids = { vendorId: 0x1d55, deviceId: 0x9ad9, classCode: 0 };
    this.fn = new PciFunction(place.kernel, place.bus, { ...ids, ats: null, pri: null, pasid: null }, bars);
  }

  get config() {
    return this.fn.config;
  }

  *receive(_tlp: Downstream): Coroutine<void> {}
}

/** Its driver, which only looks. */
export class GadgetDriver implements EndpointDriver {
  readonly device: Device;
  readonly iommu: IommuDriver;
  seen = 0;

  constructor(device: Device, iommu: IommuDriver, _core: Core) {
    this.device = device;
    this.iommu = iommu;
  }

  *probe(): Coroutine<void> {
    const [window] = this.device.mmio;
    if (window !== undefined) this.seen = yield* window.read32(0);
  }
}

/** A gadget with windows of these sizes, as a machine plugs it in. */
export function gadget(...sizes: readonly number[]) {
  const parts = { Gadget };
  return {
    model: `gadget-${sizes.join('-')}`,
    parts,
    create: (place: HardwarePlace, _link: unknown, _settings: unknown, made = parts): Gadget =>
      new made.Gadget(place, sizes),
  };
}

/** Its driver, as a machine loads it. */
export const gadgetDriver = {
  matches: ['1d55:9ad9'],
  parts: { GadgetDriver },
  create: (device: Device, iommu: IommuDriver, core: Core, parts = { GadgetDriver }): GadgetDriver =>
    new parts.GadgetDriver(device, iommu, core),
};
