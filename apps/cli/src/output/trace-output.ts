import { open } from 'node:fs/promises';
import { FtraceSink, JsonSink, PerfettoSink, type TraceSink } from '@iommukit/kernel';
import { isBondEvent } from '@iommukit/scenario';
import type { Context, Output } from '../context.js';
import { UsageError } from '../errors.js';
import type { RunFlags } from '../commands/run-flags.js';
import { paintFor } from './paint.js';
import { Timeline } from './timeline.js';

/** Where a run's trace goes. */
export interface TraceOutput {
  readonly sink: TraceSink;
  close(): Promise<void>;
}

/** Opens what `--trace`, `--events` and `--out` ask for; without `--trace`, the timeline for people. */
export async function openTrace({ process }: Context, flags: RunFlags): Promise<TraceOutput> {
  const shown = eventFilter(flags);
  if (flags.trace === undefined) return timeline(process.stdout, shown);
  const lines: string[] = [];
  const sink = sinkOf(flags.trace, (text) => lines.push(text));
  // The file is opened before the run: a path that cannot be written is wrong usage, not a lost trace.
  const file = flags.out === undefined ? null : await openFile(flags.out);
  return {
    sink: { wants: shown, event: (event) => sink.event(event) },
    close: async () => {
      if (sink instanceof PerfettoSink) sink.end();
      const text = lines.join('');
      if (file === null) process.stdout.write(text);
      else {
        await file.writeFile(text);
        await file.close();
      }
    },
  };
}

function sinkOf(format: NonNullable<RunFlags['trace']>, print: (text: string) => void): TraceSink {
  if (format === 'perfetto') return new PerfettoSink(print);
  const line = (text: string): void => print(`${text}\n`);
  return format === 'json' ? new JsonSink(line) : new FtraceSink(line);
}

function timeline(to: Output, shown: (event: string) => boolean): TraceOutput {
  const printer = new Timeline((line) => to.write(`${line}\n`), paintFor(to.isTTY, globalThis.process.env), shown);
  printer.head();
  return { sink: printer, close: async () => {} };
}

/** `--events`: a list, `all`, or by default the six (for people, the steps of processes and jobs too). */
function eventFilter({ events, trace }: RunFlags): (event: string) => boolean {
  if (events === 'all') return () => true;
  if (events !== undefined) {
    const wanted = new Set(events.split(',').map((name) => name.trim()));
    return (event) => wanted.has(event);
  }
  return trace === undefined ? (event) => isBondEvent(event) || PEOPLE.test(event) : isBondEvent;
}

/** What a reader of the timeline also wants to see: what processes and jobs do. */
const PEOPLE = /^(mm_mmap|mm_munmap|mm_exit_mmap|process_exit|file_open|file_release|engine_job)$/;

async function openFile(path: string): Promise<Awaited<ReturnType<typeof open>>> {
  try {
    return await open(path, 'w');
  } catch (error) {
    throw new UsageError(`${path} cannot be written: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
  }
}
