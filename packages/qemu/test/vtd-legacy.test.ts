import { expect, it } from 'vitest';
import { edu, type Qemu } from '../src/index.js';
import { describeOn, requesters, withQemu, writes } from './with-qemu.js';

// Offsets and bits as vtd.md 1.4, 1.5, 1.9, 2.1, 2.2 and 4.2 give them; the tables lie in one frame each.
const [GCMD, GSTS, RTADDR, FSTS, FRCD] = [0x18, 0x1c, 0x20, 0x34, 0x220];
const MIB = 2 ** 20;
const [ROOT, CONTEXT, PML4, PDPT] = [2 * MIB, 3 * MIB, 4 * MIB, 5 * MIB];
const [PD, PT, PAGE] = [6 * MIB, 7 * MIB, 9 * MIB];
const READ = 1;
const WRITE = 2;
const IOVA = 0x4000_0000n;
const EDU = 0x20;

/** Maps one page an item, from IOVA on, with the rights that are given. */
function mapPages(qemu: Qemu, rights: readonly number[]): void {
  const { bus, iommu } = qemu;
  bus.store64(ROOT, CONTEXT + 1, 0);
  for (const rid of requesters(qemu)) {
    bus.store64(CONTEXT + 16 * rid, PML4 + 1, 0);
    bus.store64(CONTEXT + 16 * rid + 8, (7 << 8) | 2, 0);
  }
  bus.store64(PML4, PDPT + READ + WRITE, 0);
  bus.store64(PDPT + 8, PD + READ + WRITE, 0);
  bus.store64(PD, PT + READ + WRITE, 0);
  for (const [i, right] of rights.entries()) bus.store64(PT + 8 * i, PAGE + 4096 * i + right, 0);
  bus.store64(iommu.base + RTADDR, ROOT, 0);
  bus.store32(iommu.base + GCMD, 0x4000_0000);
  bus.store32(iommu.base + GCMD, 0x8000_0000);
  expect(bus.load32(iommu.base + GSTS) >>> 0).toBe(0xc000_0000);
}

describeOn('vtd-legacy', () => {
  it('finds its devices, their registers and the unit (vtd.md 1.2)', () => {
    withQemu('vtd-legacy', (qemu) => {
      const device = qemu.functions.find(({ at }) => at === '00:04.0');
      expect(device).toMatchObject({ rid: EDU, vendorId: 0x1234, deviceId: 0x11e8 });
      expect(qemu.bus.load32(device!.bars[0]!.base) & 0xffff).toBe(0xed);
      expect(qemu.bus.load32(qemu.iommu.base)).toBe(0x10);
    });
  });

  it('moves data through second-stage tables that were made by hand', () => {
    withQemu('vtd-legacy', (qemu) => {
      mapPages(qemu, [READ + WRITE, READ + WRITE]);
      const data = Uint8Array.from({ length: 4096 }, (_, i) => i * 7);
      qemu.memory.write(PAGE, data);
      edu(qemu).copy(IOVA, IOVA + 0x1000n, 4096);
      const moved = new Uint8Array(4096);
      qemu.memory.read(PAGE + 4096, moved);
      expect(moved).toEqual(data);
      expect(writes(qemu, IOVA + 0x10n, PAGE + 0x10)).toBe(true);
      expect(qemu.bus.load32(qemu.iommu.base + FSTS)).toBe(0);
    });
  });

  it('refuses a write without the right, and records the fault: reason 5, address, requester (vtd.md 1.9)', () => {
    withQemu('vtd-legacy', (qemu) => {
      mapPages(qemu, [READ]);
      edu(qemu).store(IOVA + 0x18n, 4);
      const record = new Uint32Array(4);
      qemu.bus.load64(qemu.iommu.base + FRCD, record);
      qemu.bus.load64(qemu.iommu.base + FRCD + 8, record.subarray(2));
      // 10.0 has a stray bit where the PASID of a request with one is.
      record[3]! &= 0xf000_00ff;
      expect([...record]).toEqual([0x4000_0000, 0, EDU, 0x8000_0005]);
      expect(qemu.bus.load32(qemu.iommu.base + FSTS) & 2).toBe(2);
      expect(writes(qemu, IOVA, PAGE)).toBe(false);
    });
  });

  it('is quiet about a quiesced context entry: P = 0 and FPD = 1 (VTD-20)', () => {
    withQemu('vtd-legacy', (qemu) => {
      mapPages(qemu, [READ + WRITE]);
      // Nothing was asked before, so nothing is cached.
      for (const rid of requesters(qemu)) qemu.bus.store64(CONTEXT + 16 * rid, PML4 + 2, 0);
      expect(writes(qemu, IOVA, PAGE)).toBe(false);
      expect(qemu.bus.load32(qemu.iommu.base + FSTS)).toBe(0);
    });
  });

  it('shows the INTx line of a device as it rises and falls', () => {
    withQemu('vtd-legacy', (qemu) => {
      const { base } = qemu.functions.find(({ rid }) => rid === EDU)!.bars[0]!;
      // PCI's are 16 to 23; where CPUs are parked the timer's comes in between.
      const changes = () => qemu.takeInterrupts().filter(({ line }) => line >= 16);
      // edu raises its interrupt by a write to 0x60, and lowers it by one to 0x64.
      qemu.bus.store32(base + 0x60, 1);
      const [rise, ...others] = changes();
      expect([rise, others]).toEqual([{ line: expect.any(Number), raised: true }, []]);
      qemu.bus.store32(base + 0x64, 1);
      expect(changes()).toEqual([{ line: rise!.line, raised: false }]);
    });
  });

  it('steps its clock when it is told, and not otherwise', () => {
    withQemu('vtd-legacy', (qemu) => {
      if (!qemu.steps) return;
      const now = qemu.client.clockStep(1);
      qemu.clockStep(5_000_000);
      expect(qemu.client.clockStep(7)).toBe(now + 5_000_007);
    });
  });

  it('leaves zeros in the buffer of edu when its read is refused', () => {
    withQemu('vtd-legacy', (qemu) => {
      mapPages(qemu, [READ + WRITE, WRITE]);
      qemu.memory.write(PAGE, new Uint8Array(8).fill(0x55));
      const engine = edu(qemu);
      engine.load(IOVA, 8);
      engine.load(IOVA + 0x1000n, 8);
      engine.store(IOVA, 8);
      const out = new Uint32Array(2);
      qemu.bus.load64(PAGE, out);
      expect([...out]).toEqual([0, 0]);
    });
  });
});
