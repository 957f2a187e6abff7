import type { Switches } from '@iommukit/kernel';

/** The `--set` switches that choose a page-table format: see {@link formatOf}. */
export const formatSwitches: Switches = {
  'cpu-page': {
    values: ['4K', '16K', '64K'],
    rule: 'PF-8',
    help: "the CPU's page size; a device's page stays 4 KiB",
  },
  'va-bits': {
    values: ['48', '52', '57'],
    rule: 'SMMU-17',
    help: 'width of virtual addresses: on Arm 48 or 52 (with 4K and 16K pages LPA2), on x86 48 or 57 (5 levels)',
  },
};
