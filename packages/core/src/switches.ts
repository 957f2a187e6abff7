import type { Switches } from '@iommukit/kernel';

/** The `--set` switches of this package. */
export const switches: Switches = {
  'mn.duplicate': {
    values: ['on', 'off'],
    rule: 'MN-12',
    help: 'munmap calls invalidate_range twice for one range, as kernels before 6.6 do',
  },
};
