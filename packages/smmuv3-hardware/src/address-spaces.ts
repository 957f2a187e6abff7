import type { Kernel } from '@iommukit/kernel';

/** How many translation regimes the TLB can tell apart at a time; a policy of this model, wide enough for every ASID in use. */
export const SPACE_LIMIT = 2 ** 14;

/** The stream worlds that translations are tagged with (smmuv3.md 3.6). */
export const WORLD = { EL1: 0, EL2: 1, EL2_E2H: 2 } as const;

/** The ASID of lines that are not tagged with one (nG = 0). */
export const GLOBAL = -1;

/**
 * Small numbers for the tags (VMID, ASID or global, ASET) that TLB lines carry (smmuv3.md 3.6), so that a whole tag fits one
 * exact double. Numbers are handed out in order of first use, and never reused before everything is dropped.
 */
export class AddressSpaces {
  readonly numbers: Map<number, number>;
  readonly vmids: number[];
  readonly asids: number[];

  constructor(kernel: Kernel) {
    this.numbers = kernel.checkpoints.keepMap(new Map<number, number>());
    this.vmids = kernel.checkpoints.keepList<number>([]);
    this.asids = kernel.checkpoints.keepList<number>([]);
  }

  /** The number of a space that was used before, or -1. */
  find(vmid: number, asid: number, aset: number): number {
    return this.numbers.get(keyOf(vmid, asid, aset)) ?? -1;
  }

  /** The number of a space; a new one if there is none. -1 when all are taken. */
  of(vmid: number, asid: number, aset: number): number {
    const known = this.find(vmid, asid, aset);
    if (known >= 0 || this.vmids.length === SPACE_LIMIT) return known;
    this.numbers.set(keyOf(vmid, asid, aset), this.vmids.length);
    this.vmids.push(vmid);
    this.asids.push(asid);
    return this.vmids.length - 1;
  }

  /** Forgets every number: only when no line and no context holds one. */
  clear(): void {
    this.numbers.clear();
    this.vmids.length = 0;
    this.asids.length = 0;
  }
}

const keyOf = (vmid: number, asid: number, aset: number): number => (vmid * 2 ** 17 + asid + 1) * 2 + aset;
