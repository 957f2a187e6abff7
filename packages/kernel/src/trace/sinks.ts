import { PrintSink } from './print-sink.js';
import type { TraceEvent } from './trace.js';

/** Prints `event: fields`, as the kernel's trace buffer does after its prefix. */
export class FtraceSink extends PrintSink {
  event(event: TraceEvent): void {
    this.print(`${event.point.name}: ${event.point.format(event.record)}`);
  }
}

/** One JSON object a line: `{seq, ns, step, task, event, ...fields}`. Bigints become `0x…` strings. */
export class JsonSink extends PrintSink {
  event(event: TraceEvent): void {
    const { sequence, time, step, task, point, record } = event;
    this.print(JSON.stringify({ seq: sequence, ns: time, step, task, event: point.name, ...record }, jsonValue));
  }
}

/** `JSON.stringify` throws on bigints; addresses are printed as people write them. */
export function jsonValue(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `0x${value.toString(16)}` : value;
}

/**
 * Chrome/Perfetto trace: one track a task, one instant event a record. Time stamps are steps (1 step = 1 µs): virtual
 * time stands still while anything can run. Call {@link end} once, at the end.
 */
export class PerfettoSink extends PrintSink {
  readonly tracks = new Map<string, number>();
  separator = '{"displayTimeUnit":"ms","traceEvents":[\n';

  event(event: TraceEvent): void {
    const tid = this.track(event.task);
    this.put({ name: event.point.name, ph: 'X', ts: event.step, dur: 1, pid: 1, tid, args: event.record });
  }

  track(task: string): number {
    let tid = this.tracks.get(task);
    if (tid === undefined) {
      tid = this.tracks.size + 1;
      this.tracks.set(task, tid);
      this.put({ name: 'thread_name', ph: 'M', pid: 1, tid, args: { name: task } });
    }
    return tid;
  }

  put(entry: object): void {
    this.print(this.separator + JSON.stringify(entry, jsonValue));
    this.separator = ',\n';
  }

  /** Closes the document. */
  end(): void {
    this.print(`${this.separator.startsWith('{') ? this.separator : '\n'}]}\n`);
  }
}
