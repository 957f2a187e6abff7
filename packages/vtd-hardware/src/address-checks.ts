import { LINE, powerOfTwo } from '@iommukit/kernel';
import { WANT_PRIVILEGED } from '@iommukit/pci-ats';
import { FAULT, INTERRUPT_RANGE } from '@iommukit/vtd-spec';
import { PAGES } from './iotlb.js';
import { FLAG, KIND } from './regime.js';

/** Frames of the interrupt range: no translation may lead there (vtd.md 2.13). */
export const INTERRUPTS = {
  FIRST: Math.floor(INTERRUPT_RANGE.first / 4096),
  LAST: Math.floor(INTERRUPT_RANGE.last / 4096),
} as const;

/** Whether 2^order frames from `frame` on overlap the interrupt range. */
export const overlapsInterrupts = (frame: number, order: number): boolean =>
  frame <= INTERRUPTS.LAST && frame + powerOfTwo(order) > INTERRUPTS.FIRST;

/** The key of a page that does not lie below `low`: of the upper half of a first stage, or -1. */
export function keyOf(kind: number, low: number, page: number): number {
  if (kind !== KIND.FIRST) return -1;
  return page >= PAGES - low && page < PAGES ? page - (PAGES - 2 * low) : -1;
}

/** Why an address that has no key is refused (5.1, 5.2). */
export function beyond(kind: number, control: number): number {
  if (kind === KIND.FIRST) return FAULT.SM_NOT_CANONICAL;
  return (control & FLAG.LEGACY) !== 0 ? FAULT.ADDRESS_BEYOND : FAULT.SM_INPUT_BEYOND;
}

/** SPT.5 and SPT.6, in this order: 0 where the regime allows what is wanted. */
export function forbids(control: number, want: number): number {
  if ((want & LINE.EXEC) !== 0 && (control & FLAG.EXECUTE) === 0) return FAULT.PASID_ERE;
  return (want & WANT_PRIVILEGED) !== 0 && (control & FLAG.SUPERVISOR) === 0 ? FAULT.PASID_SRE : 0;
}

/** What is wrong with an address that is passed through: 0, or it is beyond the host's, or in the interrupt range. */
export function passThrough(control: number, page: number, output: number): number {
  const legacy = (control & FLAG.LEGACY) !== 0;
  if (!(page >= 0 && page < output)) return legacy ? FAULT.ADDRESS_BEYOND : FAULT.SM_OUTPUT_BEYOND;
  if (!overlapsInterrupts(page, 0)) return 0;
  return legacy ? FAULT.INTERRUPT_RANGE : FAULT.SM_INTERRUPT_RANGE;
}
