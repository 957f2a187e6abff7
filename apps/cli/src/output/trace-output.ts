import { access, constants, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FtraceSink, JsonSink, PerfettoSink, type TraceSink } from '@iommukit/kernel';
import type { Context } from '../context.js';
import { fileProblem, UsageError } from '../errors.js';
import { paintFor } from './paint.js';
import { Timeline } from './timeline.js';

/** `--trace`. */
export type TraceFormat = 'ftrace' | 'json' | 'perfetto';

/** A run's trace, on its way to a stream or a file. */
export interface TraceOutput {
  readonly sink: TraceSink;
  /** Writes everything. Nothing is written before: a run that is refused leaves no half a trace. */
  close(): Promise<void>;
}

/** The timeline for people, on stdout. */
export function timelineOutput({ process }: Context, shown: (event: string) => boolean): TraceOutput {
  const timeline = new Timeline(paintFor(process.stdout.isTTY, globalThis.process.env));
  return {
    sink: { wants: shown, event: (event) => timeline.event(event) },
    close: async () => {
      process.stdout.write(timeline.text());
    },
  };
}

/** A trace for programs, on stdout or in the file `out`. @throws UsageError when the file cannot be written */
export async function traceOutput(
  { process }: Context,
  format: TraceFormat,
  shown: (event: string) => boolean,
  out: string | undefined,
): Promise<TraceOutput> {
  if (out !== undefined) await checkWritable(out);
  const parts: string[] = [];
  const sink = sinkOf(format, (text) => parts.push(text));
  return {
    sink: { wants: shown, event: (event) => sink.event(event) },
    close: async () => {
      sink.end?.();
      const text = parts.join('');
      if (out === undefined) process.stdout.write(text);
      else await write(out, text);
    },
  };
}

function sinkOf(format: TraceFormat, print: (text: string) => void): TraceSink {
  if (format === 'perfetto') return new PerfettoSink(print);
  const line = (text: string): void => print(`${text}\n`);
  return format === 'json' ? new JsonSink(line) : new FtraceSink(line);
}

/** Finds out before the run, and without making the file, whether it could be made: a trace must not get lost. */
async function checkWritable(path: string): Promise<void> {
  const exists = await stat(path).catch(() => null);
  if (exists?.isDirectory()) throw new UsageError(`--out ${path} cannot be written: it is a directory`);
  try {
    await access(exists === null ? dirname(path) : path, constants.W_OK);
  } catch (error) {
    const what = exists === null ? `its directory: ${fileProblem(error)}` : fileProblem(error);
    throw new UsageError(`--out ${path} cannot be written: ${what}`);
  }
}

async function write(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text);
  } catch (error) {
    throw new UsageError(`--out ${path} cannot be written: ${fileProblem(error)}`);
  }
}
