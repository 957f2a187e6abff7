import type { Kernel } from '@iommukit/kernel';

/** Answers SUCCESS to one page without a change of its entry, after which a fault counts as endless (INV-6). */
const LIMIT = 5;

const SUCCESS = 0;
/** Group numbers are 16-bit stall tags or 9-bit PRG indexes. */
const GROUPS = 2 ** 16;

/**
 * INV-6: with no change to the address space, a device's access ends after finitely many faults. The fifth SUCCESS for one page,
 * with its entry as it was at the first, is the violation: the device is told to try again, and nothing will be different.
 */
export class EndlessFaults {
  readonly kernel: Kernel;
  /** Device → PASID and group → the pages of a group that waits for its answer. */
  readonly asked = new Map<string, Map<number, number[]>>();
  /** PASID → page → answers since its entry changed. */
  readonly answers = new Map<number, Map<number, number>>();
  /** PASIDs by address space. */
  readonly pasids = new Map<string, number>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    // What is counted belongs to one run; at rest nobody waits for an answer.
    kernel.checkpoints.add({
      save: () => () => {
        this.asked.clear();
        this.answers.clear();
      },
    });
    kernel.checkpoints.keepMap(this.pasids);
  }

  bound(pasid: number, space: string): void {
    this.pasids.set(space, pasid);
  }

  accepted(device: string, pasid: number, group: number, page: number): void {
    const groups = this.asked.get(device) ?? new Map<number, number[]>();
    this.asked.set(device, groups);
    const key = pasid * GROUPS + group;
    const pages = groups.get(key);
    if (pages === undefined) groups.set(key, [page]);
    else pages.push(page);
  }

  answered(device: string, pasid: number, group: number, code: number): void {
    const groups = this.asked.get(device);
    const pages = groups?.get(pasid * GROUPS + group) ?? [];
    groups?.delete(pasid * GROUPS + group);
    if (code === SUCCESS) for (const page of pages) this.count(device, pasid, page);
  }

  count(device: string, pasid: number, page: number): void {
    const pages = this.answers.get(pasid) ?? new Map<number, number>();
    this.answers.set(pasid, pages);
    const answers = (pages.get(page) ?? 0) + 1;
    pages.set(page, answers);
    if (answers < LIMIT) return;
    this.kernel.violate(
      'INV-6',
      `${device} is told ${LIMIT} times that page 0x${page.toString(16)} of PASID ${pasid} is there, and its entry has not changed ` +
        'since the first: something that was cached before keeps refusing the access',
    );
  }

  /** The entry of a page changed: what was answered before says nothing any more. */
  mapped(space: string, page: number): void {
    const pasid = this.pasids.get(space);
    if (pasid !== undefined) this.answers.get(pasid)?.delete(page);
  }

  /** A number that is handed out again has no history. */
  unbound(pasid: number): void {
    for (const [space, its] of this.pasids) if (its === pasid) this.pasids.delete(space);
    this.answers.delete(pasid);
  }
}
