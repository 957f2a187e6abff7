import { expect, it } from 'vitest';
import { LineWriter } from './answer-lines.js';

it('waits for a reader that is slower than the lines come', async () => {
  const waiting: (() => void)[] = [];
  let written = '';
  const output = {
    isTTY: false,
    write(text: string): boolean {
      written += text;
      return false;
    },
    once(_event: 'drain', listener: () => void): void {
      waiting.push(listener);
    },
  };
  const writer = new LineWriter(output);
  await writer.line('short');
  expect(written, 'not worth a write yet').toBe('');
  let done = false;
  const long = writer.line('x'.repeat(100_000)).then(() => {
    done = true;
  });
  await Promise.resolve();
  expect([written.length, done, waiting.length]).toEqual([100_007, false, 1]);
  waiting[0]!();
  await long;
  expect(done).toBe(true);
});
