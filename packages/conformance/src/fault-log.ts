import type { DevFaultRecord, DevPageResponseRecord } from '@iommukit/core';
import type { TraceEvent, TraceSink } from '@iommukit/kernel';

/** The faults and answers of a run. */
export class FaultLog implements TraceSink {
  readonly faults: DevFaultRecord[] = [];
  readonly answers: DevPageResponseRecord[] = [];

  /** A new run begins. */
  clear(): void {
    this.faults.length = 0;
    this.answers.length = 0;
  }

  wants(event: string): boolean {
    return event === 'dev_fault' || event === 'dev_page_response';
  }

  event({ point, record }: TraceEvent): void {
    if (point.name === 'dev_fault') this.faults.push(record as DevFaultRecord);
    else this.answers.push(record as DevPageResponseRecord);
  }

  /** The codes of all answers. */
  get codes(): readonly number[] {
    return this.answers.map(({ code }) => code);
  }
}
