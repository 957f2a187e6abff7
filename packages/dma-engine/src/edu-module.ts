import type { Core, Device, IommuDriver } from '@iommukit/core';
import { EduDriver } from './edu-driver.js';
import { EDU_ID } from './edu-registers.js';

const driverParts = { EduDriver };

/** The driver of QEMU's `edu` as a machine loads it. */
export const eduDriver = {
  matches: [`${EDU_ID.vendorId.toString(16)}:${EDU_ID.deviceId.toString(16)}`],
  parts: driverParts,
  create(device: Device, iommu: IommuDriver, core: Core, parts = driverParts): EduDriver {
    return new parts.EduDriver(device, iommu, core);
  },
};
