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
} from '@iommukit/smmuv3-spec';
import { QEMU_MACHINES } from '../../machines/machines.js';
import type { CompareMachine, RegisterPlace } from '../machine.js';

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

/** virt with an SMMUv3. */
export const SMMUV3_COMPARE: CompareMachine = {
  kind: 'smmuv3',
  backend: 'smmuv3',
  devices: { edu: 0x20, testdev: 0x28 },
  ram: [QEMU_MACHINES.smmuv3.ram],
  arena: { base: 0x4200_0000, bytes: 0x10_0000 },
  base: QEMU_MACHINES.smmuv3.iommu?.base ?? 0,
  registers,
  identification: ['IDR0', 'IDR1', 'IDR3', 'IDR5'],
  assumed: {},
  afterDma: ['EVENTQ_PROD', 'GERROR'],
  afterQueue: ['CMDQ_CONS', 'GERROR'],
  afterWrite: { CR0: ['CR0ACK'], GBPA: ['GBPA'], GERRORN: ['GERROR', 'CMDQ_CONS'], EVENTQ_CONS: ['EVENTQ_PROD'] },
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
  resetAt: 0x4200_0000,
  resetMemory: [],
  reset: [],
  tail: 'CMDQ_PROD',
  meaningful: (seen) => seen,
  queueAfter: (register, value) => {
    if (register !== 'CMDQ_BASE') return null;
    return { base: Number(value & 0xf_ffff_ffff_ffe0n), entry: 16, entries: 2 ** Number(value & 31n) };
  },
  tailOf: ({ entries }, n) => BigInt(n % (entries * 2)),
};
