import type { Switches } from '@iommukit/kernel';
import { cpuSwitches } from './cpu/switches.js';
import { formatSwitches } from './mm/formats/switches.js';

/** The `--set` switches of this package. */
export const switches: Switches = {
  'mn.duplicate': {
    values: ['on', 'off'],
    rule: 'MN-12',
    help: 'munmap calls invalidate_range twice for one range, as kernels before 6.6 do',
  },
  sentinel: {
    values: ['zero', 'all-ones'],
    rule: 'IOASID-3',
    help: 'what an mm without a PASID has in its PASID field: 0, or all ones as kernels from 5.18 do',
  },
  'find-inactive': {
    values: ['error', 'ok'],
    rule: 'IOASID-13',
    help: 'whether a PASID that is freed, with references left, is still found',
  },
  upgrade: {
    values: ['notify', 'flush-before-response', 'none'],
    rule: 'MN-14',
    help: 'who tells secondary TLBs that a page became writable: the fault path, the driver before it answers, or nobody',
  },
  'grow-stack': {
    values: ['on', 'off'],
    rule: 'VMA-3',
    help: 'a fault below a mapping that grows downwards extends it, as kernels before 6.5 do',
  },
  ...formatSwitches,
  ...cpuSwitches,
  'iopf-timeout': {
    values: { type: 'number', default: 0 },
    rule: 'IOPF-19',
    help: 'seconds after which a page request group that nobody has answered is answered INVALID; 0: never',
  },
};
