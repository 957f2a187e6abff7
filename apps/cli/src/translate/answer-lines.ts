import type { Answer, Request } from '@iommukit/inspect';
import type { Output } from '../context.js';

/** A way to print answers: one line a request. */
export interface AnswerLines {
  /** What goes before the first. */
  readonly head: string;
  line(request: Request, answer: Answer): string;
}

/** One JSON object a line, in the order of the requests: `{device, iova, access, ok, pa, fault}`. */
export const jsonLines: AnswerLines = {
  head: '',
  line: ({ device, iova, access }, { ok, pa, fault }) =>
    JSON.stringify({
      device,
      iova: hex(iova),
      access,
      ok,
      pa: pa === null ? null : hex(pa),
      fault,
    }),
};

const row = (device: string, pasid: string, iova: string, access: string, result: string): string =>
  `${device.padEnd(12)}  ${pasid.padEnd(7)}  ${iova.padEnd(18)}  ${access.padEnd(6)}  ${result}`;

/** A table for people. */
export const tableLines: AnswerLines = {
  head: row('DEVICE', 'PASID', 'IOVA', 'ACCESS', 'RESULT'),
  line: ({ device, iova, access, pasid }, answer) =>
    row(device, pasid < 0 ? '-' : hex(pasid), hex(iova), access, resultOf(answer)),
};

function resultOf({ ok, pa, fault }: Answer): string {
  if (ok) return pa === null ? 'done' : hex(pa);
  return fault === null ? 'refused, and nothing is recorded' : `fault ${hex(fault.reason)} ${fault.name}`;
}

const BLOCK = 32 * 1024;

/** An output that says when it has taken what it was given. */
interface Draining extends Output {
  once(event: 'drain', listener: () => void): unknown;
}

/** Writes lines in blocks: many small writes are slow. A reader that is slower than we are is waited for. */
export class LineWriter {
  readonly output: Output;
  text = '';

  constructor(output: Output) {
    this.output = output;
  }

  async line(text: string): Promise<void> {
    this.text += `${text}\n`;
    if (this.text.length >= BLOCK) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.text === '') return;
    const { output, text } = this;
    this.text = '';
    const taken: unknown = output.write(text);
    if (taken !== false || !('once' in output)) return;
    await new Promise<void>((resolve) => {
      (output as Draining).once('drain', resolve);
    });
  }
}

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
