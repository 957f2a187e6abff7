import type { Coroutine } from '@iommukit/kernel';
import { expect } from 'vitest';
import { encodeInvalidate } from '../src/index.js';
import { type FakeDevice, finish } from './bench-top.js';

/** A device that is enabled, with these pages (identity, read and write unless said) already cached for these PASIDs. */
export function cached(
  device: FakeDevice,
  lines: readonly (readonly [pasid: number, page: number, order: number])[],
): void {
  finish(device, function* () {
    if (!device.fn.state.ats) yield* device.enable();
    for (const [pasid, page, order] of lines) {
      for (let i = 0; i < 2 ** order; i++) device.agent.pages.set(page + i, { perm: 3, order });
      expect(yield* device.atc.translate(pasid, page, 3)).toBe('cached');
    }
  });
  device.agent.seen.length = 0;
}

/** Sends an Invalidate Request for 2^order pages with ITag 3. */
export function invalidate(
  device: FakeDevice,
  pasid: number,
  page: number,
  order: number,
  global = false,
): Coroutine<void> {
  const [lo, hi] = encodeInvalidate(page, order, global);
  return device.link.down({ kind: 'invalidate-request', itag: 3, pasid, lo, hi }) as unknown as Coroutine<void>;
}
