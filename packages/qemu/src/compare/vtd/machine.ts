import { CAP, ECAP, FECTL, FSTS, GCMD, GSTS, ICS, IECTL, IQA, IQH, IQT, RTADDR, VER } from '@iommukit/vtd-spec';
import { QEMU_MACHINES } from '../../machines/machines.js';
import type { CompareMachine, RegisterPlace } from '../machine.js';

/** Where both versions of QEMU have the fault record, and IVA and IOTLB (vtd.md 8.1: FRO 0x22, IRO 0x0f). */
const FRCD_AT = 0x220;

const place = ({ offset, words }: { readonly offset: number; readonly words: number }): RegisterPlace => ({
  offset,
  bytes: words === 2 ? 8 : 4,
});

const registers = {
  VER: place(VER),
  CAP: place(CAP),
  ECAP: place(ECAP),
  GCMD: place(GCMD),
  GSTS: place(GSTS),
  RTADDR: place(RTADDR),
  FSTS: place(FSTS),
  FECTL: place(FECTL),
  IQH: place(IQH),
  IQT: place(IQT),
  IQA: place(IQA),
  ICS: place(ICS),
  IECTL: place(IECTL),
  FRCD_LO: { offset: FRCD_AT, bytes: 8 },
  FRCD_HI: { offset: FRCD_AT + 8, bytes: 8 },
  /** The half of the record with F. */
  FRCD_F: { offset: FRCD_AT + 12, bytes: 4 },
} as const satisfies Record<string, RegisterPlace>;

/** Where generators put the queue. */
export const QUEUE_AT = 0x100_1000;
const F = 1n << 63n;
const QS_DW = 0x800n;
const QIE = 0x0400_0000n;
const TE = 0x8000_0000n;
const SRTP = 0x4000_0000n;

/** q35 with VT-d, in the modes that can be compared. */
export const VTD_COMPARE: readonly CompareMachine[] = (['vtd-legacy', 'vtd-scalable', 'vtd-scalable-ss'] as const).map(
  (kind) => ({
    kind,
    backend: 'vtd',
    devices: { edu: 0x20, testdev: 0x28 },
    ram: [{ base: 0x20_0000, bytes: QEMU_MACHINES[kind].ram.bytes - 0x20_0000 }],
    arena: { base: 0x100_0000, bytes: 0x4_0000 },
    base: QEMU_MACHINES[kind].iommu?.base ?? 0,
    registers,
    identification: ['VER', 'CAP', 'ECAP'],
    // QEMU merges faults of one requester (QE-9). It writes Accessed and Dirty flags without ECAP.SMPWCS: with PWSNP=1 they can be compared (QE-6).
    assumed: { mergeFaults: true, ...(kind === 'vtd-scalable' ? { smpwcs: true } : {}) },
    afterDma: ['FSTS', 'FRCD_LO', 'FRCD_HI', 'FECTL'],
    afterQueue: ['IQH', 'FSTS', 'ICS'],
    afterWrite: { GCMD: ['GSTS'], FSTS: ['FSTS', 'IQH', 'FECTL'], FRCD_F: ['FSTS', 'FRCD_HI'] },
    atEnd: ['GSTS', 'RTADDR', 'FSTS', 'FECTL', 'FRCD_LO', 'FRCD_HI', 'IQH', 'IQT', 'IQA', 'ICS', 'IECTL'],
    // Translation off drops what is cached (ESRTPS, QE-18). The queue goes off when it is empty and ended with a wait; it is where
    // generators put it, for QEMU takes IQA when QIE is set only.
    resetAt: QUEUE_AT,
    resetMemory: Array.from({ length: 512 }, (_, i) => (i % (kind === 'vtd-legacy' ? 2 : 4) === 0 ? 0x45n : 0n)),
    reset: [
      { register: 'IQA', value: BigInt(QUEUE_AT) | (kind === 'vtd-legacy' ? 0n : QS_DW) },
      { register: 'GCMD', value: 0x0400_0000n },
      { register: 'FSTS', value: 0xffn },
      { register: 'IQT', value: 0x40n },
      { register: 'IQT', value: 0x80n },
      { register: 'GCMD', value: 0n },
      { register: 'FRCD_F', value: 0x8000_0000n },
      { register: 'FSTS', value: 0xffn },
      { register: 'ICS', value: 1n },
      { register: 'FECTL', value: 0x8000_0000n },
      { register: 'IECTL', value: 0x8000_0000n },
      { register: 'IQT', value: 0n },
      { register: 'IQA', value: 0n },
      { register: 'RTADDR', value: 0n },
      { register: 'GCMD', value: 0x4000_0000n },
    ],
    // The queue and translation go on after their addresses are told; at 0 the queue would not end with a wait.
    sound: ({ steps }) => {
      const first = (register: string, mask: bigint): number => {
        const at = steps.findIndex(
          (one) => one.do === 'write' && one.register === register && (one.value & mask) !== 0n,
        );
        return at < 0 ? steps.length : at;
      };
      const order = (one: number, next: number): boolean => one < next || next === steps.length;
      return (
        order(first('IQA', ~0n), first('GCMD', QIE)) &&
        order(first('RTADDR', ~0n), first('GCMD', SRTP)) &&
        order(first('GCMD', SRTP), first('GCMD', TE))
      );
    },
    leavesTraces: () => false,
    pristine: { GSTS: 0x4000_0000n, FSTS: 0n, IQH: 0n },
    recovery: () => null,
    acknowledge: [
      { register: 'FRCD_F', value: 0x8000_0000n },
      { register: 'FSTS', value: 1n },
    ],
    tail: 'IQT',
    meaningful: (seen) => {
      if (seen['FRCD_HI'] === undefined || ((seen['FRCD_HI'] as bigint) & F) !== 0n) return seen;
      // Without F a record says nothing.
      const { FRCD_LO: _lo, FRCD_HI: _hi, ...rest } = seen;
      return rest;
    },
    finished: (_what, answers) => answers,
    queueAfter: (register, value) => {
      if (register !== 'IQA') return null;
      const entry = (value & QS_DW) === 0n ? 16 : 32;
      return { base: Number(value & ~0xfffn), entry, entries: (4096 << Number(value & 7n)) / entry };
    },
    tailOf: ({ entry, entries }, n) => BigInt((n % entries) * entry),
  }),
);
