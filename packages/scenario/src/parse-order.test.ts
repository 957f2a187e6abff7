import { describe, expect, it } from 'vitest';
import { parseOrder } from './parse-order.js';

describe('parseOrder', () => {
  it('reads a chain', () => {
    expect(parseOrder('fault-worker.mmget < process.exit-mm')).toEqual([
      [
        { task: 'fault-worker', step: 'mmget' },
        { task: 'process', step: 'exit-mm' },
      ],
    ]);
    expect(parseOrder(undefined)).toEqual([]);
  });

  it.each(['a.b', 'a < b', 'a.b < ', '.a < b.c'])('refuses %s', (text) => {
    expect(() => parseOrder(text)).toThrow(/^order '/);
  });
});
