import type { Kernel } from '../kernel.js';

/** A kind of trace record. */
export interface TracePoint<R extends object> {
  /** The event's name as the kernel prints it. */
  readonly name: string;
  /** The fields as the kernel prints them, after `name: `. */
  readonly format: (record: R) => string;
}

/** Declares a tracepoint: `tracepoint<{ pasid: number }>('smmu_mm_release', (r) => `pasid=${r.pasid}`)`. */
export function tracepoint<R extends object>(name: string, format: (record: R) => string): TracePoint<R> {
  return { name, format };
}

/** One emitted record. */
export interface TraceEvent {
  /** Counts from 0 in a machine's life. */
  readonly sequence: number;
  /** Virtual time (ns). */
  readonly time: number;
  /** Points passed in the run. */
  readonly step: number;
  readonly task: string;
  readonly point: TracePoint<object>;
  readonly record: object;
}

/** Takes trace events. */
export interface TraceSink {
  event(event: TraceEvent): void;
}

/** The tracepoints of a machine: typed records in, any number of sinks out. */
export class Trace {
  readonly kernel: Kernel;
  readonly sinks: TraceSink[] = [];
  readonly state = { sequence: 0 };

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.keep(this.state);
  }

  /** True if anybody listens: records need not be made otherwise. */
  get on(): boolean {
    return this.sinks.length !== 0;
  }

  /** Emits one record. */
  emit<R extends object>(point: TracePoint<R>, record: R): void {
    if (this.sinks.length === 0) return;
    const event: TraceEvent = {
      sequence: this.state.sequence++,
      time: this.kernel.clock.now(),
      step: this.kernel.steps,
      task: this.kernel.current?.name ?? 'none',
      point: point as unknown as TracePoint<object>,
      record,
    };
    for (const sink of this.sinks) sink.event(event);
  }
}
