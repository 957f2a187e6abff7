import type { TraceEvent, TraceSink } from '@iommukit/kernel';
import { isBondEvent } from './trace-shape.js';

/** What happened in a run, counted. */
export interface Counts {
  faults: number;
  /** Responses by code: SUCCESS, INVALID, FAILURE. */
  responses: [number, number, number];
  invalidations: number;
  releases: number;
  binds: number;
  unbinds: number;
  /** Pages that devices wrote. */
  pagesMoved: number;
  /** Jobs by how they ended. */
  jobs: Record<string, number>;
}

/** Counts a run's events for the verdict. */
export class Tally implements TraceSink {
  counts: Counts = noCounts();

  /** A new run begins. */
  clear(): void {
    this.counts = noCounts();
  }

  wants(event: string): boolean {
    return isBondEvent(event) || event === 'engine_dma' || event === 'engine_job';
  }

  event({ point: { name }, record }: TraceEvent): void {
    const { counts } = this;
    if (name === 'dev_fault') counts.faults++;
    else if (name === 'dev_page_response') counts.responses[(record as { code: 0 | 1 | 2 }).code]++;
    else if (name.endsWith('_mm_invalidate')) counts.invalidations++;
    else if (name.endsWith('_mm_release')) counts.releases++;
    else if (name.endsWith('_bind_alloc')) counts.binds++;
    else if (name.endsWith('_unbind_free')) counts.unbinds++;
    else this.engine(name, record);
  }

  engine(name: string, record: object): void {
    const { counts } = this;
    if (name === 'engine_dma' && (record as { write: boolean }).write) counts.pagesMoved++;
    if (name !== 'engine_job') return;
    const { status } = record as { status: string };
    if (status === 'submitted' || status === 'started') return;
    counts.jobs[status] = (counts.jobs[status] ?? 0) + 1;
  }
}

function noCounts(): Counts {
  return {
    faults: 0,
    responses: [0, 0, 0],
    invalidations: 0,
    releases: 0,
    binds: 0,
    unbinds: 0,
    pagesMoved: 0,
    jobs: {},
  };
}
