import type { Machine } from '@iommukit/machine';
import type { Smmuv3Driver } from '@iommukit/smmuv3-driver';
import { type CommandObserver, type Encodings, NOT_SUPPORTED } from '../src/index.js';

/** The commands in the ring, by the driver's own count of them. */
export function observeCommands(machine: Machine): CommandObserver {
  const [iommu] = machine.iommus.values();
  const { state, ring } = (iommu!.driver as Smmuv3Driver).smmu.commands;
  const word = new Uint32Array(2);
  const hex = (pa: number): string => {
    machine.bus.load64(pa, word);
    return ((BigInt(word[1]) << 32n) | BigInt(word[0])).toString(16);
  };
  let from = state.produced;
  return {
    take() {
      const commands: string[] = [];
      for (; from < state.produced; from++) {
        const pa = state.pa + 16 * ring.index(from);
        commands.push(`${hex(pa)} ${hex(pa + 8)}`);
      }
      return commands;
    },
  };
}

/** CMD_SYNC: CS = SEV, MSH = inner shareable, MSIAttr = write-back (smmuv3.md 4.2). */
const SYNC = 'fc02046 0';
/** CMD_CFGI_CD of StreamID 0x28, SSID 1, leaf; each change of a descriptor is two of them, with their SYNCs (SMMU-2). */
const CD = ['2800001005 1', SYNC, '2800001005 1', SYNC];
/** CMD_TLBI_NH_ASID of ASID 1, and CMD_ATC_INV of everything of SSID 1 (SMMU-10, SMMU-11, SMMU-19). */
const ALL = ['1000000000011 0', SYNC, '2800001840 34', SYNC];

/** CMD_TLBI_NH_VA of one page of ASID 1, not leaf: tables may go (SMMU-21). */
const page = (address: string): string => `1000000000012 ${address}`;
const PAGE = [page('12345f000'), SYNC, '2800001840 12345f000', SYNC];

/** 18 pages, one by one; then the 64 pages that an ATC_INV has to name: 0x123440000 to 0x12347ffff (SMMU-22). */
const PAGES = Array.from({ length: 18 }, (_unused, i) => page((0x1_2345_f000 + i * 0x1000).toString(16)));
const RANGE = [...PAGES, SYNC, '2800001840 123440006', SYNC];

/** The words of an SMMUv3 without range invalidation and without broadcasts; munmap notifies twice (MN-12). */
export const SMMUV3_WORDS: Encodings = {
  observe: observeCommands,
  expected: {
    bind: CD,
    'invalidate-page': [...PAGE, ...PAGE],
    'invalidate-range': [...RANGE, ...RANGE],
    release: [...CD, ...ALL],
    unbind: [...CD, ...ALL],
    'answer-success': ['2800001841 2005'],
    'answer-invalid': ['2800001841 1005'],
    'answer-failure': ['2800001841 5'],
    'stall-retry': ['4000001044 0'],
    'stall-abort': ['4000002044 0'],
    'domain-unmap': ['1000000000012 12345f001', SYNC, '2800000040 12345f000', SYNC],
  },
};

/** With devices' caches only: CPUs' broadcasts reach the TLB, and nothing stalls (MN-15). */
export const SMMUV3_BROADCAST_WORDS: Encodings = {
  observe: observeCommands,
  expected: {
    ...SMMUV3_WORDS.expected,
    'invalidate-page': ['2800001840 12345f000', SYNC, '2800001840 12345f000', SYNC],
    'invalidate-range': ['2800001840 123440006', SYNC, '2800001840 123440006', SYNC],
    'stall-retry': NOT_SUPPORTED('IDR0.STALL_MODEL is 1: nothing stalls'),
    'stall-abort': NOT_SUPPORTED('IDR0.STALL_MODEL is 1: nothing stalls'),
  },
};
