import {
  CMDQ_BASE,
  CMDQ_CONS,
  CMDQ_PROD,
  CR0,
  CR0ACK,
  CR2,
  EVENTQ_BASE,
  EVENTQ_CONS,
  EVENTQ_PROD,
  GBPA,
  GERROR,
  GERRORN,
  IDR0,
  IDR1,
  IDR3,
  IDR5,
  IRQ_CTRL,
  IRQ_CTRLACK,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
  STRTAB_FMT,
} from '@iommukit/smmuv3-spec';
import { QEMU_MACHINES } from '../../machines/machines.js';
import type { CompareMachine, RegisterPlace } from '../machine.js';
import { withEvents } from './events-seen.js';

const place = ({ offset, words }: { readonly offset: number; readonly words: number }): RegisterPlace => ({
  offset,
  bytes: words === 2 ? 8 : 4,
});

const registers = {
  IDR0: place(IDR0),
  IDR1: place(IDR1),
  IDR3: place(IDR3),
  IDR5: place(IDR5),
  CR0: place(CR0),
  CR0ACK: place(CR0ACK),
  CR2: place(CR2),
  GBPA: place(GBPA),
  GERROR: place(GERROR),
  GERRORN: place(GERRORN),
  IRQ_CTRL: place(IRQ_CTRL),
  IRQ_CTRLACK: place(IRQ_CTRLACK),
  STRTAB_BASE: place(STRTAB_BASE),
  STRTAB_BASE_CFG: place(STRTAB_BASE_CFG),
  CMDQ_BASE: place(CMDQ_BASE),
  CMDQ_PROD: place(CMDQ_PROD),
  CMDQ_CONS: place(CMDQ_CONS),
  EVENTQ_BASE: place(EVENTQ_BASE),
  EVENTQ_PROD: place(EVENTQ_PROD),
  EVENTQ_CONS: place(EVENTQ_CONS),
} as const satisfies Record<string, RegisterPlace>;

const ILLEGAL_COMMAND = 0xffn;
/** Where generators put the command queue. */
export const COMMANDS_AT = 0x4200_0000;

/** The bit of CR0 that has the SMMU read what a register points at. */
const NEEDS = { STRTAB_BASE: 1n, EVENTQ_BASE: 4n, CMDQ_BASE: 8n } as const;

/** STRTAB_BASE_CFG.FMT is 2-level. */
const isTwoLevel = (value: bigint): boolean => (value >> 16n) % 4n === BigInt(STRTAB_FMT.TWO_LEVEL);

/** virt with an SMMUv3. */
export const SMMUV3_COMPARE: CompareMachine = {
  kind: 'smmuv3',
  backend: 'smmuv3',
  devices: { edu: 0x20, testdev: 0x28 },
  ram: [QEMU_MACHINES.smmuv3.ram],
  arena: { base: 0x4200_0000, bytes: 0x11_0000 },
  base: QEMU_MACHINES.smmuv3.iommu?.base ?? 0,
  registers,
  identification: ['IDR0', 'IDR1', 'IDR3', 'IDR5'],
  assumed: {},
  afterDma: ['EVENTQ_PROD', 'GERROR'],
  afterQueue: ['CMDQ_CONS', 'GERROR', 'GERRORN'],
  afterWrite: {
    CR0: ['CR0ACK'],
    GBPA: ['GBPA'],
    GERRORN: ['GERROR', 'GERRORN', 'CMDQ_CONS'],
    EVENTQ_CONS: ['EVENTQ_PROD'],
  },
  atEnd: [
    'CR0',
    'CR0ACK',
    'CR2',
    'GBPA',
    'GERROR',
    'GERRORN',
    'STRTAB_BASE',
    'STRTAB_BASE_CFG',
    'CMDQ_BASE',
    'CMDQ_PROD',
    'CMDQ_CONS',
    'EVENTQ_BASE',
    'EVENTQ_PROD',
    'EVENTQ_CONS',
  ],
  // The caches are told to forget everything: turning translation off does not do that. Errors that are pending cannot be taken back.
  resetAt: COMMANDS_AT,
  resetMemory: [0x04n, 0x1fn, 0x30n, 0n, 0x46n, 0n],
  reset: [
    { register: 'CR0', value: 0n },
    { register: 'CMDQ_BASE', value: BigInt(COMMANDS_AT) | 8n },
    { register: 'CMDQ_PROD', value: 0n },
    { register: 'CMDQ_CONS', value: 0n },
    { register: 'CR0', value: 8n },
    { register: 'CMDQ_PROD', value: 3n },
    { register: 'CR0', value: 0n },
    { register: 'CMDQ_PROD', value: 0n },
    { register: 'CMDQ_CONS', value: 0n },
    { register: 'CMDQ_BASE', value: 0n },
    { register: 'EVENTQ_PROD', value: 0n },
    { register: 'EVENTQ_CONS', value: 0n },
    { register: 'EVENTQ_BASE', value: 0n },
    { register: 'STRTAB_BASE', value: 0n },
    { register: 'STRTAB_BASE_CFG', value: 0n },
    { register: 'CR2', value: 0n },
    { register: 'IRQ_CTRL', value: 0n },
    { register: 'GBPA', value: 0x8000_1000n },
  ],
  // Queues and the stream table are somewhere before they are switched on.
  sound: ({ steps }) => {
    const wrote = new Set<string>();
    return steps.every((step) => {
      if (step.do !== 'write') return true;
      wrote.add(step.register);
      const on = step.register === 'CR0' ? step.value : 0n;
      return Object.entries(NEEDS).every(([register, bit]) => (on & bit) === 0n || wrote.has(register));
    });
  },
  // Once STRTAB_BASE_CFG.FMT has been 2-level, QEMU takes every table for one.
  leavesTraces: ({ steps }) =>
    steps.some((step) => step.do === 'write' && step.register === 'STRTAB_BASE_CFG' && isTwoLevel(step.value)),
  pristine: { GERROR: 0n, GERRORN: 0n, CR0ACK: 0n, EVENTQ_PROD: 0n, CMDQ_CONS: 0n },
  // GERROR's bits toggle: one more error of the queue takes the last one back.
  recovery: ({ GERROR: errors }) => {
    if (errors === undefined || errors > 1n) return null;
    const serve = { register: 'GERRORN', value: errors };
    if (errors === 0n) return { memory: [], writes: [serve] };
    return {
      memory: [ILLEGAL_COMMAND, 0n],
      writes: [
        serve,
        { register: 'CMDQ_BASE', value: BigInt(COMMANDS_AT) | 8n },
        { register: 'CMDQ_PROD', value: 0n },
        { register: 'CMDQ_CONS', value: 0n },
        { register: 'CR0', value: 8n },
        { register: 'CMDQ_PROD', value: 1n },
        // The queue is off before: otherwise it would go on.
        { register: 'CR0', value: 0n },
        { register: 'GERRORN', value: 0n },
      ],
    };
  },
  acknowledge: [],
  tail: 'CMDQ_PROD',
  meaningful: (seen) => {
    const { CMDQ_CONS: consumer, GERROR: errors, GERRORN: served } = seen;
    if (typeof consumer !== 'bigint' || typeof errors !== 'bigint' || typeof served !== 'bigint') return seen;
    // ERR says why CMDQ_ERR is active, and nothing while it is not.
    return ((errors ^ served) & 1n) === 1n ? seen : { ...seen, CMDQ_CONS: consumer & 0xf_ffffn };
  },
  finished: withEvents,
  queueAfter: (register, value) => {
    if (register !== 'CMDQ_BASE') return null;
    return { base: Number(value & 0xf_ffff_ffff_ffe0n), entry: 16, entries: 2 ** Number(value & 31n) };
  },
  tailOf: ({ entries }, n) => BigInt(n % (entries * 2)),
};
