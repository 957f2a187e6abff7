import { describe, expect, it } from 'vitest';
import { type Context, liveContext, quiescedContext, silence } from './index.js';

/** The first 64-bit words of a descriptor. */
function words(cd: Uint32Array, count = 4): string[] {
  return Array.from({ length: count }, (_, i) => {
    const value = (BigInt(cd[2 * i + 1]!) << 32n) | BigInt(cd[2 * i]!);
    return value.toString(16);
  });
}

const tables = { physicalBits: 44, virtualBits: 48, pageShift: 12, mair: [0xf404ff44, 0] as const };
const context: Context = { asid: 0x1d, shared: false, pgd: 0x4321_f000, tables, stalls: false, httu: 'none' };

// By the bit positions of smmuv3.md 2.4.
describe('context descriptors (SMMU-9)', () => {
  it('describe a living process: T0SZ 16, 4K, WB, inner, EPD1, V, IPS 44 bits, AA64, R, A, ASET, ASID 0x1d', () => {
    expect(words(liveContext(context))).toEqual(['1de204c0003510', '4321f000', '0', 'f404ff44']);
  });

  it('share the ASID with the CPUs by ASET 0 (SMMU-15)', () => {
    expect(words(liveContext({ ...context, shared: true }))[0]).toBe('1d6204c0003510');
  });

  it('let faults of stalling devices wait by S (SMMU-12)', () => {
    expect(words(liveContext({ ...context, stalls: true }))[0]).toBe('1df204c0003510');
  });

  it('lose the walk and its table, and stay valid with S and R, when the process died (SVA-9, SVA-10)', () => {
    expect(words(quiescedContext(context))).toEqual(['1de204c0004000', '0', '0', 'f404ff44']);
    expect(words(quiescedContext({ ...context, stalls: true }))[0]).toBe('1df204c0004000');
  });

  it('lose S and R too in the later form (SVA-10)', () => {
    expect(words(silence(quiescedContext({ ...context, stalls: true })))[0]).toBe('1dc204c0004000');
  });

  it.each([
    { granule: '16 KiB', pageShift: 14, virtualBits: 48, tg0: 0x80, t0sz: 16, ds: 0n },
    { granule: '64 KiB', pageShift: 16, virtualBits: 48, tg0: 0x40, t0sz: 16, ds: 0n },
    { granule: '64 KiB, 52 bits', pageShift: 16, virtualBits: 52, tg0: 0x40, t0sz: 12, ds: 0n },
    { granule: '4 KiB, 52 bits', pageShift: 12, virtualBits: 52, tg0: 0, t0sz: 12, ds: 1n << 58n },
    { granule: '16 KiB, 52 bits', pageShift: 14, virtualBits: 52, tg0: 0x80, t0sz: 12, ds: 1n << 58n },
  ])('say how tables of $granule are walked', ({ pageShift, virtualBits, tg0, t0sz, ds }) => {
    const cd = liveContext({ ...context, tables: { ...tables, pageShift, virtualBits } });
    expect(cd[0]! & 0xff).toBe(tg0 + t0sz);
    expect(words(cd)[2]).toBe(ds.toString(16));
  });

  it('name a table above 48 bits of physical address as it is, not rearranged as CPUs have it (TLB-8)', () => {
    const high = { ...context, pgd: 0xf_4321_0000_0000, tables: { ...tables, physicalBits: 52 } };
    const cd = liveContext(high);
    expect(words(cd)[1]).toBe('f432100000000');
    expect(cd[1]! & 7).toBe(6);
  });

  it('copy the CPUs memory attributes', () => {
    const cd = liveContext({ ...context, tables: { ...tables, mair: [0x11223344, 0x55667788] } });
    expect(words(cd)[3]).toBe('5566778811223344');
  });

  it('ask for flag updates by HA, and with dirty state by HD (SMMU-18, PF-10)', () => {
    expect(liveContext({ ...context, httu: 'access' })[1]! & 0xc00).toBe(0x800);
    expect(liveContext({ ...context, httu: 'dirty' })[1]! & 0xc00).toBe(0xc00);
  });
});
