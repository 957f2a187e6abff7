import { IommuError, type Settings, type Switches } from '@iommukit/kernel';

/** How the unit is used: scalable mode, the extended-context mode of 2015 to 2018, or DMA domains only. */
export type Mode = 'scalable' | 'ecs' | 'legacy';

/** Entries of each queue. */
export interface QueueSizes {
  /** Slots of the invalidation queue. */
  readonly descriptors: number;
  readonly requests: number;
}

/** The driver's `--set` switches. */
export const switches: Switches = {
  'vtd.mode': {
    values: ['scalable', 'ecs', 'legacy'],
    rule: 'VTD-3',
    help: 'what the root table is: of scalable mode (legacy where the unit has none), of the extended-context mode, or legacy',
  },
  'vtd.iq-entries': {
    values: { type: 'number', default: 256 },
    rule: 'VTD-1',
    help: 'slots of the invalidation queue, a power of two from 128 on (256 where descriptors have 128 bits) to 32768',
  },
  'vtd.prq-entries': {
    values: { type: 'number', default: 2048 },
    rule: 'PCI-9',
    help: 'entries of the page request queue, a power of two from 128 on (256 in the extended-context mode) to 16384',
  },
  'vtd.prq-handler': {
    values: ['workers', 'thread'],
    rule: 'IOPF-29',
    help: 'who handles page requests: workers, or the interrupt thread as in kernels until 5.10 (and always in the extended-context mode)',
  },
  'vtd.pri-credits': {
    values: { type: 'number', default: 0 },
    rule: 'PCI-9',
    help: 'page requests that each device may have outstanding; 0: no more together than the queue holds, else it may overflow',
  },
};

/** The interrupt thread handles page requests itself. */
export function handlesInThread(settings: Settings): boolean {
  return settings['vtd.prq-handler'] === 'thread';
}

/** The mode that was asked for. */
export function askedMode(settings: Settings): Mode {
  return (settings['vtd.mode'] as Mode | undefined) ?? 'scalable';
}

/** Page requests that each device may have outstanding; 0: its share of the queue. */
export function givenCredits(settings: Settings): number {
  return Number(settings['vtd.pri-credits'] ?? 0);
}

/** The queues' sizes. @throws IommuError EINVAL for what is not a power of two */
export function queueSizes(settings: Settings): QueueSizes {
  return {
    descriptors: powerOf(settings, 'vtd.iq-entries'),
    requests: powerOf(settings, 'vtd.prq-entries'),
  };
}

function powerOf(settings: Settings, key: string): number {
  const { values } = switches[key]!;
  const entries = Number(settings[key] ?? (values as { default: number }).default);
  if (Number.isInteger(Math.log2(entries)) && entries >= 128) return entries;
  throw new IommuError('EINVAL', `${key} is ${entries}`, { remedy: 'give a power of two from 128 on' });
}

/**
 * log2 of the 4 KiB pages of a queue of `entries` of `bytes` each: the size field of IQA and PQA.
 * @throws IommuError EINVAL for a queue of less than one page or more than 128
 */
export function queueSizeField(entries: number, bytes: number, what: string): number {
  const size = Math.log2((entries * bytes) / 4096);
  if (size >= 0 && size <= 7) return size;
  throw new IommuError('EINVAL', `${what} cannot have ${entries} entries of ${bytes} bytes`, {
    remedy: `give ${4096 / bytes} to ${(128 * 4096) / bytes}`,
  });
}
