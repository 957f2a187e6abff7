import { describe, expect, it } from 'vitest';
import { BASE, Rig } from '../test/rig.js';

describe('RegisterFile', () => {
  it('computes the ID registers from the capabilities (1.2 to 1.4)', () => {
    const rig = new Rig();
    expect([0x00, 0x04, 0x0c, 0x14, 0x1c].map((offset) => rig.read(offset))).toEqual([
      // S1P, TTF=2, COHACC, ATS, NS1ATS, ASID16, SEV, PRI, VMID16, CD2L, TTENDIAN=2, STALL_MODEL=0, ST_LEVEL=1
      0x084d5c1a, 0x02739d10, 0x00000004, 0x00200075, 0x02,
    ]);
    const other = new Rig({
      ats: false,
      pri: false,
      ssidBits: 0,
      stall: 'none',
      oas: 44,
      rangeInvalidation: true,
      stream2l: false,
    });
    expect(other.read(0x00)).toBe(0x014c581a);
    expect(other.read(0x04)).toBe(0x02730010);
    expect(other.read(0x0c)).toBe(0x404);
    expect(other.read(0x14)).toBe(0x74);
  });

  it('refuses capabilities that it does not know or cannot have', () => {
    const wrong: Record<string, string | number | boolean>[] = [
      { atz: true },
      { ats: 1 },
      { ssidBits: 21 },
      { oas: 47 },
      { stall: 'maybe' },
      { iotlbEntries: 100 },
    ];
    for (const capabilities of wrong) expect(() => new Rig(capabilities)).toThrow(/EINVAL/);
  });

  it('copies CR0 to CR0ACK, without the bits of what it cannot do', () => {
    const rig = new Rig({ ats: false, pri: false });
    rig.write(0x20, 0xffffffff);
    expect([rig.read(0x20), rig.read(0x24)]).toEqual([0x0d, 0x0d]);
    rig.write(0x24, 0);
    expect(rig.read(0x24)).toBe(0x0d);
  });

  it.each([
    ['CR2', 0x2c, 0x2, 0x01],
    ['STRTAB_BASE', 0x80, 0x1000, 0x01],
    ['STRTAB_BASE, high half', 0x84, 0x1, 0x01],
    ['STRTAB_BASE_CFG', 0x88, 0x8, 0x01],
    ['CR1.TABLE_*', 0x28, 0xf40, 0x01],
    ['CR1.QUEUE_*', 0x28, 0x35, 0x08],
    ['CR1.QUEUE_*', 0x28, 0x35, 0x04],
    ['CR1.QUEUE_*', 0x28, 0x35, 0x02],
    ['CMDQ_BASE', 0x90, 0x1003, 0x08],
    ['CMDQ_CONS', 0x9c, 0x3, 0x08],
    ['EVENTQ_BASE', 0xa0, 0x1003, 0x04],
    ['EVENTQ_PROD', 0x100a8, 0x3, 0x04],
    ['PRIQ_BASE', 0xc0, 0x1003, 0x02],
    ['PRIQ_PROD', 0x100c8, 0x3, 0x02],
  ])('ignores writes to %s while its enable bit is set (1.5, 1.7)', (_name, offset, value, enable) => {
    const rig = new Rig();
    rig.write(0x20, enable);
    rig.write(offset, value);
    expect(rig.read(offset)).toBe(0);
    rig.write(0x20, 0);
    rig.write(offset, value);
    expect(rig.read(offset)).toBe(value);
  });

  it.each([
    ['GERROR', 0x68, 1],
    ['PRIQ', 0xd0, 2],
    ['EVENTQ', 0xb0, 4],
  ])('keeps %s_IRQ_CFGn while its interrupt is enabled', (_name, offset, enable) => {
    const rig = new Rig();
    rig.write(0x50, enable);
    expect(rig.read(0x54)).toBe(enable);
    for (const at of [offset, offset + 4, offset + 8, offset + 12]) rig.write(at, 0x4);
    expect([0, 4, 8, 12].map((at) => rig.read(offset + at))).toEqual([0, 0, 0, 0]);
    rig.write(0x50, 0);
    for (const at of [offset, offset + 4, offset + 8, offset + 12]) rig.write(at, 0x4);
    expect([0, 4, 8, 12].map((at) => rig.read(offset + at))).toEqual([4, 4, 4, 4]);
  });

  it.each([
    ['E2H, PTM and REC_CFG_ATS with what they are for', { hyp: true, atsRecordsErrors: true }, 0xf],
    ['no E2H without HYP', { atsRecordsErrors: true }, 0xe],
    ['no REC_CFG_ATS without ATSRECERR', { hyp: true }, 0x7],
  ])('keeps in CR2 %s (1.5)', (_name, capabilities, kept) => {
    const rig = new Rig(capabilities);
    rig.write(0x2c, 0xffffffff);
    expect(rig.read(0x2c)).toBe(kept);
  });

  it('says in IDR0 that configuration errors of ATS traffic can be recorded (1.2)', () => {
    expect(new Rig({ atsRecordsErrors: true }).read(0) & 0x800000).toBe(0x800000);
    expect(new Rig({ atsRecordsErrors: true, ats: false }).read(0) & 0x800000).toBe(0);
  });

  it('updates GBPA only with UPDATE=1, which reads 0 again', () => {
    const rig = new Rig();
    expect(rig.read(0x44)).toBe(0x1000);
    rig.write(0x44, 0x00101000);
    expect(rig.read(0x44)).toBe(0x1000);
    rig.write(0x44, 0x80101000);
    expect(rig.read(0x44)).toBe(0x00101000);
  });

  it('takes 64-bit registers whole and as halves', () => {
    const rig = new Rig();
    rig.write64(0x80, 0x4000123456789fc0n);
    expect([rig.read(0x80), rig.read(0x84)]).toEqual([0x56789fc0, 0x40001234]);
    rig.write(0x84, 0xffffffff);
    expect([rig.read(0x80), rig.read(0x84)]).toEqual([0x56789fc0, 0x40ffffff]);
    const out = new Uint32Array(2);
    rig.bus.load64(BASE + 0x80, out);
    expect([...out]).toEqual([0x56789fc0, 0x40ffffff]);
  });

  it('toggles GERROR only when the error is not active', () => {
    const rig = new Rig().enable();
    rig.command(0n, 0n);
    expect(rig.read(0x60)).toBe(1);
    rig.write(0x60, 0);
    expect(rig.read(0x60)).toBe(1);
    rig.write(0x64, 1); // fetched again: fails again, and toggles back
    rig.settle();
    expect(rig.read(0x60)).toBe(0);
    expect(rig.interrupts).toEqual(['gerror', 'gerror']);
  });

  it('reads zero and ignores writes elsewhere, and accesses narrower than 32 bits', () => {
    const rig = new Rig();
    for (const offset of [0xa8, 0xac, 0xc8, 0xcc, 0x100, 0x1fc, 0x200, 0x8000, 0x10020, 0x1fffc]) {
      rig.write(offset, 0xffffffff);
      expect(rig.read(offset)).toBe(0);
    }
    rig.bus.write8(BASE + 0x44, 0xff);
    expect(rig.bus.read8(BASE + 0x45)).toBe(0);
    expect(rig.read(0x44)).toBe(0x1000);
  });

  it('raises no interrupt that IRQ_CTRL does not enable', () => {
    const rig = new Rig().enable();
    rig.write(0x50, 0);
    rig.command(0n, 0n);
    expect(rig.interrupts).toEqual([]);
  });
});
