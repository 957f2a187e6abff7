import type { TraceEvent, TraceSink } from './trace.js';

/** A sink that prints text. `only`: the events that it takes (null: all). */
export abstract class PrintSink implements TraceSink {
  readonly print: (text: string) => void;
  readonly only: ReadonlySet<string> | null;

  constructor(print: (text: string) => void, only: ReadonlySet<string> | null = null) {
    this.print = print;
    this.only = only;
  }

  abstract event(event: TraceEvent): void;

  wants(event: string): boolean {
    return this.only === null || this.only.has(event);
  }
}
