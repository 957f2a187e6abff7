import { describe, expect, it } from 'vitest';
import { go, pause } from '../../test/harness.js';
import { FtraceSink, JsonSink, Kernel, PerfettoSink, type TraceSink, tracepoint } from '../index.js';

const fault = tracepoint<{ device: string; address: bigint; prot: number }>(
  'dev_fault',
  ({ device, address, prot }) => `IOMMU:${device} addr=0x${address.toString(16)} prot=${prot}`,
);
const release = tracepoint<{ pasid: number }>('smmu_mm_release', ({ pasid }) => `pasid=${pasid}`);

/** Two tasks that emit two records each. */
function emitting(...sinks: TraceSink[]): Kernel {
  const kernel = new Kernel();
  for (const sink of sinks) kernel.trace.add(sink);
  for (const [i, name] of ['irq', 'process'].entries()) {
    kernel.spawn(name, function* () {
      yield* pause(kernel);
      kernel.trace.emit(fault, { device: '0000:00:03.0', address: 0xffff_8000_0000_0000n + BigInt(i), prot: 2 });
      yield* kernel.clock.sleep(5);
      kernel.trace.emit(release, { pasid: i });
    });
  }
  go(kernel);
  return kernel;
}

describe('FtraceSink', () => {
  it('prints event and fields as the kernel does, without a prefix', () => {
    const lines: string[] = [];
    emitting(new FtraceSink((line) => lines.push(line)));
    expect(lines).toEqual([
      'dev_fault: IOMMU:0000:00:03.0 addr=0xffff800000000000 prot=2',
      'dev_fault: IOMMU:0000:00:03.0 addr=0xffff800000000001 prot=2',
      'smmu_mm_release: pasid=0',
      'smmu_mm_release: pasid=1',
    ]);
  });

  it('prints the named events only', () => {
    const lines: string[] = [];
    emitting(new FtraceSink((line) => lines.push(line), new Set(['smmu_mm_release'])));
    expect(lines).toEqual(['smmu_mm_release: pasid=0', 'smmu_mm_release: pasid=1']);
  });
});

describe('JsonSink', () => {
  it('prints one object a line, with bigints as hexadecimal text', () => {
    const lines: string[] = [];
    emitting(new JsonSink((line) => lines.push(line)));
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        seq: 0,
        ns: 0,
        step: 1,
        task: 'irq',
        event: 'dev_fault',
        device: '0000:00:03.0',
        address: '0xffff800000000000',
        prot: 2,
      },
      {
        seq: 1,
        ns: 0,
        step: 2,
        task: 'process',
        event: 'dev_fault',
        device: '0000:00:03.0',
        address: '0xffff800000000001',
        prot: 2,
      },
      { seq: 2, ns: 5, step: 2, task: 'irq', event: 'smmu_mm_release', pasid: 0 },
      { seq: 3, ns: 5, step: 2, task: 'process', event: 'smmu_mm_release', pasid: 1 },
    ]);
    expect(lines.every((line) => !line.includes('\n'))).toBe(true);
  });
});

describe('PerfettoSink', () => {
  it('prints one JSON document with a named track for each task', () => {
    let text = '';
    const sink = new PerfettoSink((part) => {
      text += part;
    });
    emitting(sink);
    sink.end();
    const { traceEvents } = JSON.parse(text) as { traceEvents: Record<string, unknown>[] };
    const tracks = traceEvents.filter((event) => event.ph === 'M');
    expect(tracks).toEqual([
      { name: 'thread_name', ph: 'M', pid: 1, tid: 1, args: { name: 'irq' } },
      { name: 'thread_name', ph: 'M', pid: 1, tid: 2, args: { name: 'process' } },
    ]);
    const events = traceEvents.filter((event) => event.ph === 'X');
    expect(events.map(({ name, tid, ts }) => [name, tid, ts])).toEqual([
      ['dev_fault', 1, 1],
      ['dev_fault', 2, 2],
      ['smmu_mm_release', 1, 2],
      ['smmu_mm_release', 2, 2],
    ]);
    expect(events[0]!.args).toEqual({ device: '0000:00:03.0', address: '0xffff800000000000', prot: 2 });
  });

  it('is a document even if nothing happened', () => {
    let text = '';
    const sink = new PerfettoSink((part) => {
      text += part;
    });
    sink.end();
    expect(JSON.parse(text)).toEqual({ displayTimeUnit: 'ms', traceEvents: [] });
  });
});

describe('Trace', () => {
  it('numbers records on after a restore as after the checkpoint, and makes none while nobody listens', () => {
    const kernel = new Kernel();
    kernel.trace.emit(release, { pasid: 1 });
    const numbers: number[] = [];
    kernel.trace.add({ event: ({ sequence }) => numbers.push(sequence) });
    kernel.trace.emit(release, { pasid: 1 });
    const { restore } = kernel.checkpoints.take();
    for (let i = 0; i < 2; i++) {
      kernel.trace.emit(release, { pasid: 2 });
      restore();
    }
    expect(numbers).toEqual([0, 1, 1]);
  });
});
