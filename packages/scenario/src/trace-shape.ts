import { shortHash, type TraceEvent, type TraceSink } from '@iommukit/kernel';

/** The six events of a bond's life that golden traces consist of; backends prefix four of them (`smmu_`, `vtd_`). */
const BOND_EVENTS = /^(dev_fault|dev_page_response|\w+_(bind_alloc|mm_invalidate|mm_release|unbind_free))$/;

const KIND = /(fault|page_response|bind_alloc|mm_invalidate|mm_release|unbind_free)$/;

/** True for the events that are printed by default. */
export function isBondEvent(name: string): boolean {
  return BOND_EVENTS.test(name);
}

interface BondRecord {
  readonly dev?: string;
  readonly pasid: number | null;
  readonly addr?: bigint;
  readonly group?: number;
  readonly code?: number;
  readonly prot?: number;
}

const CODES = ['SUCCESS', 'INVALID', 'FAILURE'];

/**
 * Collects the shape of a run: its bond events in order, with addresses and groups numbered by first use, so that two
 * schedules that differ only in numbers have one shape.
 */
export class TraceShape implements TraceSink {
  readonly lines: string[] = [];
  readonly pages = new Map<bigint, number>();

  wants(event: string): boolean {
    return isBondEvent(event);
  }

  event({ point, record }: TraceEvent): void {
    const kind = KIND.exec(point.name)?.[1];
    if (kind !== undefined) this.lines.push(this.line(kind, record as BondRecord));
  }

  line(kind: string, { pasid, addr, code }: BondRecord): string {
    const who = pasid === 1 ? '' : ` PASID ${pasid}`;
    if (kind === 'fault') return `fault page ${this.page(addr!)}${who}`;
    if (kind === 'page_response') return `response ${CODES[code!]}${who}`;
    return `${kind.replace('mm_', '').replace('_', ' ')}${who}`;
  }

  page(addr: bigint): number {
    let number = this.pages.get(addr);
    if (number === undefined) {
      number = this.pages.size + 1;
      this.pages.set(addr, number);
    }
    return number;
  }

  /** One line that names the shape. */
  toString(): string {
    return this.lines.join(' → ');
  }

  clear(): void {
    this.lines.length = 0;
    this.pages.clear();
  }
}

/** Hashes every event of a run, with all its fields: equal runs have equal hashes. */
export class TraceHash implements TraceSink {
  readonly parts: string[] = [];

  event({ point, record, task, step }: TraceEvent): void {
    this.parts.push(`${step} ${task} ${point.name}: ${point.format(record)}`);
  }

  value(): string {
    return `${this.parts.length}-${shortHash(this.parts.join('\n'))}`;
  }
}
