import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';
import { type DropRange, Iotlb } from './index.js';

const SYNC = 0x0fc02046n;

/** A rig that notes what its TLB is told to drop. */
function noting(capabilities: Record<string, boolean | number> = {}, cr2 = 0) {
  const calls: unknown[] = [];
  class Noting extends Iotlb {
    override dropRange(range: DropRange): void {
      calls.push(range);
    }
    override dropAsid(world: number, vmid: number, asid: number, shared = false): void {
      calls.push({ world, vmid, asid, shared });
    }
    override dropVmid(vmid: number): void {
      calls.push({ vmid });
    }
    override dropWorld(world: number): void {
      calls.push({ world });
    }
  }
  const rig = new Rig(capabilities, {}, { Iotlb: Noting });
  rig.enable(0);
  rig.write(0x2c, cr2);
  rig.write(0x20, 0x1f);
  return { rig, calls };
}
const drop = (first: number, last: number, more: Partial<DropRange> = {}): DropRange => ({
  world: 0,
  vmid: 0,
  asid: 0x12,
  first,
  last,
  level: 0,
  granule: 0,
  leaf: false,
  shared: false,
  ...more,
});
const RIL = { rangeInvalidation: true };
const page4 = 0x7f1234567;

describe('TlbCommands (smmuv3.md 3.6, 4.2, 4.3)', () => {
  it.each([
    ['NH_VA, leaf', {}, 0x0012000000000012n, 0x00007f1234567001n, drop(page4, page4, { leaf: true })],
    ['NH_VA, 16 pages', RIL, 0x0012000000400012n, 0x400400n, drop(0x400, 0x40f, { granule: 12 })],
    ['NH_VA, TG without RIL', {}, 0x0012000000400012n, 0x400400n, drop(0x400, 0x400)],
    ['NH_VA, NUM and SCALE without TG', RIL, 0x001200000041f012n, 0x400300n, drop(0x400, 0x400)],
    [
      'NH_VA, as a kernel wrote it: 32 pages, TTL 3',
      RIL,
      0x0005000000500012n,
      0xfff60701n,
      drop(0xfff60, 0xfff7f, { asid: 5, granule: 12, level: 3, leaf: true }),
    ],
    [
      'NH_VA, 2 x 64K, unaligned',
      RIL,
      0x0012000000001012n,
      0x12345f00n,
      drop(0x12340, 0x1235f, { granule: 16, level: 3 }),
    ],
    ['NH_VA, 2 x 16K', RIL, 0x0012000000100012n, 0x8a00n, drop(8, 15, { granule: 14, level: 2 })],
    ['NH_VA, everything above', RIL, 0x0012000001f1f012n, 0x400n, drop(0, 2 ** 36 - 1, { granule: 12 })],
    [
      'NH_VA, beyond the end',
      RIL,
      0x0012000001f1f012n,
      0xffffffff00000f00n,
      drop(2 ** 52 - 2 ** 20, 2 ** 52 - 1, { granule: 16, level: 3 }),
    ],
    [
      'NH_VA, the last page',
      {},
      0x0012abcd00000012n,
      0xfffffffffffff000n,
      drop(2 ** 52 - 1, 2 ** 52 - 1, { vmid: 0xabcd }),
    ],
    [
      'NH_VA, SCALE of 6 bits with DS',
      { ...RIL, ds: true },
      0x0012000002000012n,
      0x1400n,
      drop(1, 2 ** 32, { granule: 12 }),
    ],
    ['NH_VA, SCALE of 5 bits without DS', RIL, 0x0012000002000012n, 0x1600n, drop(1, 1, { granule: 12, level: 2 })],
    ['NH_VAA', RIL, 0x0000000700000013n, 0x2001n, drop(2, 2, { vmid: 7, asid: -1, leaf: true })],
    ['NH_ASID', {}, 0x1234000000000011n, 0n, { world: 0, vmid: 0, asid: 0x1234, shared: false }],
    ['NH_ALL', {}, 0x0000abcd00000010n, 0n, { vmid: 0xabcd }],
    ['NSNH_ALL', {}, 0x30n, 0n, { world: 0 }],
  ])('%s', (_name, capabilities, dw0, dw1, expected) => {
    const { rig, calls } = noting(capabilities);
    rig.command(dw0, dw1, SYNC, 0n);
    expect(calls).toEqual([expected]);
    expect([rig.cons, rig.error]).toEqual([2, 0]);
  });

  it.each([
    [
      'EL2_VA: EL2 has no ASIDs',
      0,
      0x0012000000000022n,
      0x00007f1234567000n,
      [drop(page4, page4, { world: 1, asid: -1 })],
    ],
    ['EL2_VA with E2H', 1, 0x0012000000000022n, 0x00007f1234567000n, [drop(page4, page4, { world: 2 })]],
    ['EL2_VAA', 0, 0x23n, 0x2001n, [drop(2, 2, { world: 1, asid: -1, leaf: true })]],
    ['EL2_VAA with E2H', 1, 0x23n, 0x2001n, [drop(2, 2, { world: 2, asid: -1, leaf: true })]],
    ['EL2_ASID', 1, 0x0012000000000021n, 0n, [{ world: 2, vmid: 0, asid: 0x12, shared: false }]],
    ['EL2_ALL', 1, 0x20n, 0n, [{ world: 1 }, { world: 2 }]],
  ])('%s, with HYP', (_name, cr2, dw0, dw1, expected) => {
    const { rig, calls } = noting({ hyp: true }, cr2);
    rig.command(dw0, dw1);
    expect(calls).toEqual(expected);
    expect(rig.error).toBe(0);
  });

  it.each([
    ['EL2_ALL without HYP', {}, 0x20n, 0n],
    ['EL2_ASID without HYP', {}, 0x0012000000000021n, 0n],
    ['EL2_VA without HYP', {}, 0x0012000000000022n, 0x00007f1234567000n],
    ['EL2_VAA without HYP', {}, 0x23n, 0x2001n],
    ['S12_VMALL without stage 2', {}, 0x0000001200000028n, 0n],
    ['S2_IPA without stage 2', {}, 0x000000030000002an, 0x0000800000000001n],
    ['a range of TG 4K with NUM, SCALE and TTL 0', RIL, 0x12n, 0x400n],
    ['a range of TG 16K with NUM, SCALE and TTL 0', RIL, 0x13n, 0x800n],
    ['a range of TG 64K with NUM, SCALE and TTL 0', { ...RIL, hyp: true }, 0x22n, 0xc00n],
    ['TTL 1 with 16K', RIL, 0x1012n, 0x900n],
  ])('stops with CERROR_ILL at %s', (_name, capabilities, dw0, dw1) => {
    const { rig, calls } = noting(capabilities);
    rig.command(dw0, dw1);
    expect(rig.read(0x9c)).toBe(0x01000000);
    expect(calls).toEqual([]);
  });

  it('takes TTL 1 with 16K where DS is', () => {
    const { rig, calls } = noting({ ...RIL, ds: true });
    rig.command(0x1012n, 0x900n);
    expect(calls).toEqual([drop(0, 7, { asid: 0, granule: 14, level: 1 })]);
  });
});
