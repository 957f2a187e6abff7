import type { Core } from '@iommukit/core';
import { IommuError, type Settings, type Switches } from '@iommukit/kernel';
import { type CpuFeatures, DEFAULT_CPU } from './cpu-features.js';

/** log2 of the entries of each queue. */
export interface QueueSizes {
  readonly commands: number;
  readonly events: number;
  readonly requests: number;
}

/** The driver's `--set` switches. */
export const switches: Switches = {
  'smmuv3.cmdq-entries': {
    values: { type: 'number', default: 256 },
    rule: 'SMMU-25',
    help: 'entries of the command queue, a power of two; fewer than a batch work',
  },
  'smmuv3.evtq-entries': {
    values: { type: 'number', default: 128 },
    rule: 'SMMU-30',
    help: 'entries of the event queue, a power of two',
  },
  'smmuv3.priq-entries': {
    values: { type: 'number', default: 256 },
    rule: 'PCI-9',
    help: 'entries of the page request queue, a power of two: the sum of what devices may have outstanding',
  },
};

/** The queues' sizes. @throws IommuError EINVAL for what is not a power of two */
export function queueSizes(settings: Settings): QueueSizes {
  return {
    commands: log2Of(settings, 'smmuv3.cmdq-entries'),
    events: log2Of(settings, 'smmuv3.evtq-entries'),
    requests: log2Of(settings, 'smmuv3.priq-entries'),
  };
}

function log2Of(settings: Settings, key: string): number {
  const { values } = switches[key]!;
  const entries = settings[key] ?? (values as { default: number }).default;
  const log2 = typeof entries === 'number' ? Math.log2(entries) : Number.NaN;
  if (Number.isInteger(log2) && log2 >= 1) return log2;
  throw new IommuError('EINVAL', `${key} is ${entries}`, { remedy: 'give a power of two from 2 on' });
}

/** What the CPUs run with: the page-table format is core's. */
export function cpuFeatures({ format }: Core): CpuFeatures {
  return { ...DEFAULT_CPU, virtualBits: format.addressBits, pageShift: format.pageShift };
}
