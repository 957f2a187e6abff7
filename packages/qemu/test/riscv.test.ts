import { expect, it } from 'vitest';
import { describeOn, withQemu, writes } from './with-qemu.js';

// RISC-V IOMMU 1.0, 6.1 to 6.5: CAPABILITIES, DDTP with its mode in bits 3:0.
const [CAPABILITIES, DDTP] = [0x00, 0x10];
const [OFF, BARE] = [0, 1];
const PAGE = 0x8000_0000 + 10 * 2 ** 20;

describeOn('riscv', () => {
  it('has the registers of version 1.0 in its BAR 0', () => {
    withQemu('riscv', (qemu) => {
      expect(qemu.bus.load32(qemu.iommu.base + CAPABILITIES) & 0xff).toBe(0x10);
      expect(qemu.functions.find(({ at }) => at === '00:03.0')).toMatchObject({ vendorId: 0x1b36, deviceId: 0x0014 });
    });
  });

  it('refuses requests while its directory is off, as after reset, and lets them pass when it is bare', () => {
    withQemu('riscv', (qemu) => {
      for (const mode of [OFF, BARE]) {
        qemu.bus.store64(qemu.iommu.base + DDTP, mode, 0);
        expect(qemu.bus.load32(qemu.iommu.base + DDTP) & 0xf).toBe(mode);
        expect(writes(qemu, BigInt(PAGE), PAGE)).toBe(mode === BARE);
      }
    });
  });
});
