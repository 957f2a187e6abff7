import type { Switches } from '@iommukit/kernel';

/** The `--set` switches of this package. */
export const switches: Switches = {
  'stop-kind': {
    values: ['waits', 'marker'],
    rule: 'IOPF-14',
    help: 'the device waits for all page responses before a PASID stop completes, or posts a stop marker instead',
  },
};
