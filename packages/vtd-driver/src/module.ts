import { type AddressSpaceFormat, type Core, type Device, X86Format } from '@iommukit/core';
import { IommuError, type Settings } from '@iommukit/kernel';
import { VtdDriver } from './driver.js';
import { type VtdParts, vtdParts } from './parts.js';
import { switches } from './settings.js';

/** The driver as a machine takes it: `{ ...vtdDriver, parts: { ...vtdDriver.parts, Sva: MySva } }` changes a step. */
export const vtdDriver = {
  backend: 'vtd',
  matches: ['intel,vtd'],
  parts: vtdParts,
  switches,
  /**
   * The CPUs' page tables: x86-64 with 4 levels, or 5 with `va-bits` = 57.
   * @throws IommuError EINVAL for pages other than 4 KiB, and other widths
   */
  format(settings: Settings): AddressSpaceFormat {
    const [page, bits] = [settings['cpu-page'] ?? '4K', String(settings['va-bits'] ?? '48')];
    if (page === '4K' && bits === '48') return new X86Format(4);
    if (page === '4K' && bits === '57') return new X86Format(5);
    throw new IommuError('EINVAL', `x86 CPUs have no pages of ${page} with ${bits} address bits`, {
      remedy: 'cpu-page is 4K; va-bits is 48 or 57',
    });
  },
  create(device: Device, core: Core, parts: VtdParts = vtdParts): VtdDriver {
    return new VtdDriver(device, core, parts);
  },
};
