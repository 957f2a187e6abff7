import type { Machine } from '@iommukit/machine';
import type { VtdDriver } from '@iommukit/vtd-driver';
import { type CommandObserver, type Encodings, NOT_SUPPORTED } from '../src/index.js';

const WORDS = 4;
/** Descriptor type 5: a wait (vtd.md 3.12). */
const WAIT = 5n;

/** The descriptors in the ring, by the driver's own count of them; of a wait only the first word, without its status. */
export function observeDescriptors(machine: Machine): CommandObserver {
  const [iommu] = machine.iommus.values();
  const { state, stride } = (iommu!.driver as VtdDriver).vtd.queue;
  const word = new Uint32Array(2);
  const read = (pa: number): bigint => {
    machine.bus.load64(pa, word);
    return (BigInt(word[1]) << 32n) | BigInt(word[0]);
  };
  let from = state.produced;
  return {
    take() {
      const commands: string[] = [];
      for (; from < state.produced; from++) {
        const pa = state.pa + stride * (from % state.entries);
        const words = Array.from({ length: WORDS }, (_unused, i) => read(pa + 8 * i));
        if ((words[0] & 15n) === WAIT) commands.push(`wait ${(words[0] & 0xffff_ffffn).toString(16)}`);
        else commands.push(words.map((value) => value.toString(16)).join(' '));
      }
      return commands;
    },
  };
}

/** A wait that writes its status; one that drains page requests as well; one that is a fence only (vtd.md 9.1). */
const [SYNC, DRAIN, FENCE] = ['wait 25', 'wait a5', 'wait 45'];

/** PASID-based IOTLB by page and device-TLB of DID 1, PASID 1 and requester 0x28, in one batch (vtd.md 3.6, 3.8). */
const PAGE = ['100010036 12345f000 0 0', '100280008 12345f000 0 0', SYNC];
/** The 64 pages that cover 18: 0x123440000 to 0x12347ffff (VTD-22, VTD-23). */
const RANGE = ['100010036 123440006 0 0', '100280008 12345f800 0 0', SYNC];
/** All of PASID 1: IOTLB, then the device. */
const [TRANSLATIONS, DEVICE] = ['100010026 0 0 0', '100280008 7ffffffffffff800 0 0'];
/** From present to not present: PASID cache, IOTLB, device-TLB, each waited for (VTD-17). */
const GONE = ['100010017 0 0 0', SYNC, TRANSLATIONS, SYNC, DEVICE, SYNC];

const STALLS = NOT_SUPPORTED('a VT-d unit holds back no transaction');

/** The words of a unit in scalable mode without caching mode; munmap notifies twice (MN-12). */
export const VTD_WORDS: Encodings = {
  observe: observeDescriptors,
  expected: {
    // What is not present is not cached (VTD-16).
    bind: [],
    'invalidate-page': [...PAGE, ...PAGE],
    'invalidate-range': [...RANGE, ...RANGE],
    release: GONE,
    // And drained: what was on its way, then the procedure of VTD-28c.
    unbind: [...GONE, DRAIN, FENCE, TRANSLATIONS, DEVICE, DRAIN],
    'answer-success': ['100280019 28 0 0', SYNC],
    'answer-invalid': ['100281019 28 0 0', SYNC],
    'answer-failure': ['10028f019 28 0 0', SYNC],
    'stall-retry': STALLS,
    'stall-abort': STALLS,
    // Page-selective of domain 2, leaf only, draining; then the device without PASID (vtd.md 3.2, 3.3).
    'domain-unmap': ['200f2 12345f040 0 0', SYNC, '2800000003 12345f000 0 0', SYNC],
  },
};
