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
  /** The run is over: closes a document. */
  end?(): void;
  /** Which events the sink takes, by name; without this, all. The answer for a name never changes. */
  wants?(event: string): boolean;
}

/** The tracepoints of a machine: typed records in, any number of sinks out. */
export class Trace {
  readonly kernel: Kernel;
  readonly sinks: TraceSink[] = [];
  readonly state = { sequence: 0 };
  /** Who takes a kind of record. */
  readonly takers = new Map<object, readonly TraceSink[]>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.keep(this.state);
  }

  /** From now on `sink` is given events. */
  add(sink: TraceSink): void {
    this.sinks.push(sink);
    this.takers.clear();
  }

  /** `sink` is given no more events. */
  remove(sink: TraceSink): void {
    const at = this.sinks.indexOf(sink);
    if (at >= 0) this.sinks.splice(at, 1);
    this.takers.clear();
  }

  /** True if anybody listens at all. */
  get on(): boolean {
    return this.sinks.length !== 0;
  }

  /** True if anybody takes this kind of record: others need not be made. */
  wants<R extends object>(point: TracePoint<R>): boolean {
    return this.takersOf(point).length !== 0;
  }

  /** Emits one record. */
  emit<R extends object>(point: TracePoint<R>, record: R): void {
    const takers = this.takersOf(point);
    if (takers.length === 0) return;
    const event: TraceEvent = {
      sequence: this.state.sequence++,
      time: this.kernel.clock.now(),
      step: this.kernel.steps,
      task: this.kernel.current?.name ?? 'none',
      point: point as unknown as TracePoint<object>,
      record,
    };
    for (const sink of takers) sink.event(event);
  }

  takersOf(point: { readonly name: string }): readonly TraceSink[] {
    let takers = this.takers.get(point);
    if (takers === undefined) {
      takers = this.sinks.filter((sink) => sink.wants?.(point.name) ?? true);
      this.takers.set(point, takers);
    }
    return takers;
  }
}
