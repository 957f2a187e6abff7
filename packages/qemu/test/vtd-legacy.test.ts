import { expect, it } from 'vitest';
import { edu, type Qemu, testdev } from '../src/index.js';
import { describeOn, withQemu } from './with-qemu.js';

// Offsets and bits as vtd.md 1.4, 1.5, 1.9, 2.1, 2.2 and 4.2 give them; the tables lie in one frame each.
const [GCMD, GSTS, RTADDR, FSTS, FRCD] = [0x18, 0x1c, 0x20, 0x34, 0x220];
const [ROOT, CONTEXT, PML4, PDPT, PD, PT, PAGE] = [2, 3, 4, 5, 6, 7, 9].map((mib) => mib * 2 ** 20) as [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];
const READ = 1;
const WRITE = 2;

/** Identity for one page, at IOVA 0x40000000 + 0x1000 * i with the rights that are given. */
function mapPages(qemu: Qemu, rights: readonly number[]): void {
  const { bus, iommu } = qemu;
  bus.store64(ROOT, CONTEXT + 1, 0);
  for (const { rid } of [edu(qemu), testdev(qemu)]) bus.store64(CONTEXT + 16 * rid, PML4 + 1, 0);
  for (const { rid } of [edu(qemu), testdev(qemu)]) bus.store64(CONTEXT + 16 * rid + 8, (7 << 8) | 2, 0);
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
      expect(qemu.functions.map(({ at, vendorId, deviceId }) => [at, vendorId, deviceId])).toEqual(
        expect.arrayContaining([
          ['00:04.0', 0x1234, 0x11e8],
          ['00:05.0', 0x1b36, 0x0005],
        ]),
      );
      expect(qemu.bus.load32(qemu.iommu.base)).toBe(0x10);
      expect(qemu.bus.load32(qemu.functions[1]!.bars[0]!.base) & 0xffff).toBe(0xed);
    });
  });

  it('moves data through second-stage tables that were made by hand', () => {
    withQemu('vtd-legacy', (qemu) => {
      mapPages(qemu, [READ + WRITE, READ + WRITE]);
      const data = Uint8Array.from({ length: 4096 }, (_, i) => i * 7);
      qemu.memory.write(PAGE, data);
      edu(qemu).copy(0x4000_0000n, 0x4000_1000n, 4096);
      const moved = new Uint8Array(4096);
      qemu.memory.read(PAGE + 4096, moved);
      expect(moved).toEqual(data);
      expect(testdev(qemu).write(0x4000_0010n, { pa: PAGE + 0x10 })).toBe('done');
      expect(qemu.bus.load32(PAGE + 0x10)).toBe(0x1234_5678);
      expect(testdev(qemu).write(0x4000_0020n, { pa: PAGE + 0x1000 })).toBe('elsewhere');
      expect(qemu.bus.load32(qemu.iommu.base + FSTS)).toBe(0);
    });
  });

  it('refuses a write without the right, and records the fault: reason 5, address, requester (vtd.md 1.9)', () => {
    withQemu('vtd-legacy', (qemu) => {
      mapPages(qemu, [READ]);
      qemu.bus.store32(PAGE, 0xabcd);
      expect(testdev(qemu).write(0x4000_0000n)).toBe('refused');
      expect(qemu.bus.load32(PAGE)).toBe(0xabcd);
      const record = new Uint32Array(4);
      qemu.bus.load64(qemu.iommu.base + FRCD, record);
      qemu.bus.load64(qemu.iommu.base + FRCD + 8, record.subarray(2));
      expect([...record]).toEqual([0x4000_0000, 0, testdev(qemu).rid, 0x8000_0005]);
      expect(qemu.bus.load32(qemu.iommu.base + FSTS) & 2).toBe(2);
    });
  });

  it('leaves zeros in the buffer of edu when its read is refused', () => {
    withQemu('vtd-legacy', (qemu) => {
      mapPages(qemu, [READ + WRITE, WRITE]);
      qemu.memory.write(PAGE, new Uint8Array(8).fill(0x55));
      const engine = edu(qemu);
      engine.load(0x4000_0000n, 8);
      engine.load(0x4000_1000n, 8);
      engine.store(0x4000_0000n, 8);
      const out = new Uint32Array(2);
      qemu.bus.load64(PAGE, out);
      expect([...out]).toEqual([0, 0]);
    });
  });
});
