import type { Kernel, TraceEvent, TraceSink } from '@iommukit/kernel';

/** The events that the law is about. */
const WATCHED = /^dev_fault$|^dev_page_response$|_(bind_alloc|unbind_free|mm_release|mm_invalidate)$/;

/** The fields of bond events that matter here; backends prefix the names (`smmu_`, `vtd_`). */
interface BondRecord {
  readonly dev?: string;
  readonly pasid: number;
  /** Of a release: which of the address space's notifiers was called; absent: there is one. */
  readonly notifier?: number;
}

/**
 * INV-18: bind_alloc comes first, a response follows its fault, release happens at most once a notifier, and nothing of a bond
 * comes after unbind_free. Watches the trace, as a reader of it would. A PASID has as many notifiers as there are units or
 * domains that its devices are behind.
 */
export class LegalTrace implements TraceSink {
  readonly kernel: Kernel;
  /** Bonds alive: PASID → number of devices. */
  readonly bonds = new Map<number, number>();
  /** PASID → the notifiers that were released. */
  readonly released = new Map<number, Set<number>>();
  readonly faults = new Map<string, number>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.keepMap(this.bonds);
    kernel.checkpoints.keepMap(this.faults);
    kernel.checkpoints.keepMap(this.released);
  }

  wants(event: string): boolean {
    return WATCHED.test(event);
  }

  event({ point, record }: TraceEvent): void {
    const { name } = point;
    if (name === 'dev_fault') return this.fault(record as FaultRecord);
    if (name === 'dev_page_response') return this.response(record as FaultRecord);
    const { pasid, notifier = 0 } = record as BondRecord;
    if (name.endsWith('_bind_alloc')) this.bonds.set(pasid, (this.bonds.get(pasid) ?? 0) + 1);
    else if (name.endsWith('_unbind_free')) this.unbind(pasid, name);
    else if (name.endsWith('_mm_release')) this.release(pasid, notifier, name);
    else if (name.endsWith('_mm_invalidate'))
      this.demand(this.bonds.has(pasid), () => `${name} of PASID ${pasid} without a bond`);
  }

  unbind(pasid: number, name: string): void {
    const left = (this.bonds.get(pasid) ?? 0) - 1;
    this.demand(left >= 0, () => `${name} of PASID ${pasid} without its bind_alloc`);
    if (left > 0) {
      this.bonds.set(pasid, left);
      return;
    }
    this.bonds.delete(pasid);
    this.released.delete(pasid);
  }

  release(pasid: number, notifier: number, name: string): void {
    const before = this.released.get(pasid) ?? new Set();
    this.demand(this.bonds.has(pasid), () => `${name} of PASID ${pasid} without a bond`);
    this.demand(!before.has(notifier), () => `${name} of PASID ${pasid} a second time`);
    this.released.set(pasid, new Set([...before, notifier]));
  }

  fault(record: FaultRecord): void {
    this.demand(
      record.pasid === null || this.bonds.has(record.pasid),
      () => `dev_fault of PASID ${record.pasid} without a bond`,
    );
    const key = keyOf(record);
    this.faults.set(key, (this.faults.get(key) ?? 0) + 1);
  }

  response(record: FaultRecord): void {
    const key = keyOf(record);
    this.demand(this.faults.has(key), () => `dev_page_response for group ${record.group} without its dev_fault`);
    this.faults.delete(key);
  }

  demand(holds: boolean, otherwise: () => string): void {
    if (!holds) this.kernel.violate('INV-18', `the trace is not legal: ${otherwise()}`);
  }
}

interface FaultRecord {
  readonly dev: string;
  readonly pasid: number | null;
  readonly group: number;
}

function keyOf(record: FaultRecord): string {
  return `${record.dev}/${record.pasid}/${record.group}`;
}
