import { describe, expect, it } from 'vitest';
import { smallKernel } from '../../../test/small-kernel.js';
import { formatOf, VMSA_4K_48 } from '../../index.js';

describe('formatOf', () => {
  it('gives the 4 KiB, 48-bit format unless a switch says otherwise', () => {
    expect(formatOf({})).toBe(VMSA_4K_48);
    expect(formatOf({ 'cpu-page': '4K', 'va-bits': '48' })).toBe(VMSA_4K_48);
    expect(smallKernel().core.format).toBe(VMSA_4K_48);
  });

  it('gives any granule and width', () => {
    const names = ['4K', '16K', '64K'].map((page) => formatOf({ 'cpu-page': page, 'va-bits': '52' }).name);
    expect(names).toEqual(['VMSAv8-64 4K/52', 'VMSAv8-64 16K/52', 'VMSAv8-64 64K/52']);
    expect(smallKernel({ settings: { 'cpu-page': '64K' } }).core.format.pageFrames).toBe(16);
  });

  it('refuses what no switch has', () => {
    expect(() => formatOf({ 'cpu-page': '8K' })).toThrowError(expect.objectContaining({ code: 'EINVAL' }));
  });
});
