import { IommuError, type Settings, type Switches } from '@iommukit/kernel';

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
  'smmuv3.pri-credits': {
    values: { type: 'number', default: 0 },
    rule: 'PCI-9',
    help: 'page requests that each device may have outstanding; 0: no more together than the queue holds, else it may overflow',
  },
  'smmuv3.cd-leaf': {
    values: ['64K', '4K'],
    rule: 'SMMU-8',
    help: 'size of a leaf of a two-level table of context descriptors: 1024 or 64 descriptors',
  },
  'smmuv3.asids': {
    values: ['shared', 'private'],
    rule: 'SMMU-15',
    help: 'whose ASIDs bound processes have in the SMMU: their own of the CPUs, pinned, or numbers of the SMMU',
  },
  'smmuv3.httu': {
    values: ['on', 'off'],
    rule: 'SMMU-18',
    help: 'whether the SMMU updates access flags and dirty state, if it can and page tables are made for it',
  },
  'quiesce-form': {
    values: ['s3', 'later'],
    rule: 'SVA-10',
    help: 'what happens to S and R when a process dies: kept, or cleared unless stalls are forced',
  },
};

/** Leaves of tables of context descriptors have 4 KiB instead of 64. */
export function smallContextLeaves(settings: Settings): boolean {
  return settings['smmuv3.cd-leaf'] === '4K';
}

/** Page requests that each device may have outstanding; 0: its share of the queue. */
export function givenCredits(settings: Settings): number {
  return Number(settings['smmuv3.pri-credits'] ?? 0);
}

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

/** What the switches say of address spaces in the SMMU. */
export interface SvaSettings {
  /** Processes have the ASIDs of the CPUs (SMMU-15). */
  readonly sharedAsids: boolean;
  /** The SMMU may update flags in tables. */
  readonly hardwareUpdate: boolean;
  /** S and R stay in the descriptor of a dead process (SVA-10). */
  readonly keepsStallBits: boolean;
}

/** The switches' values, or their defaults. */
export function svaSettings(settings: Settings): SvaSettings {
  return {
    sharedAsids: settings['smmuv3.asids'] !== 'private',
    hardwareUpdate: settings['smmuv3.httu'] !== 'off',
    keepsStallBits: settings['quiesce-form'] !== 'later',
  };
}
