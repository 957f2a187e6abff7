import { expect, it } from 'vitest';
import { edu, type Qemu } from '../src/index.js';
import { describeOn, requesters, withQemu, writes } from './with-qemu.js';

// Offsets and bits as smmuv3.md 1 to 5 give them.
const [CR0, CR0ACK, CR1, IRQ_CTRL] = [0x20, 0x24, 0x28, 0x50];
const [STRTAB_BASE, STRTAB_CFG, CMDQ_BASE, CMDQ_PROD, CMDQ_CONS] = [0x80, 0x88, 0x90, 0x98, 0x9c];
const [EVENTQ_BASE, EVENTQ_PROD] = [0xa0, 0x1_00a8];
const RAM = 0x4000_0000;
const place = (mib: number) => RAM + mib * 2 ** 20;
const [STREAMS, CONTEXT, COMMANDS, EVENTS] = [place(2), place(3), place(4), place(5)];
const [L0, L1, L2, L3, PAGE] = [place(6), place(7), place(8), place(9), place(10)];
const IOVA = 0x8000_0000n;
/** A valid page, accessed, for EL0: read-write, or read-only. */
const [READ_WRITE, READ_ONLY] = [0x443, 0x4c3];

/** Streams with stage 1 and one context descriptor: 48 bits, 4 KiB granule; queues of 8 entries. */
function enable(qemu: Qemu, leaves: readonly number[]): void {
  const { bus, iommu } = qemu;
  for (const stream of requesters(qemu)) bus.store64(STREAMS + 64 * stream, CONTEXT + 0xb, 0);
  bus.store64(CONTEXT, (0x8000_0000 | (1 << 30) | 16) >>> 0, 2 | (1 << 3) | (1 << 9) | (3 << 13) | (7 << 16));
  bus.store64(CONTEXT + 8, L0, 0);
  bus.store64(CONTEXT + 24, 0xff, 0);
  bus.store64(L0, L1 + 3, 0);
  bus.store64(L1 + 16, L2 + 3, 0);
  bus.store64(L2, L3 + 3, 0);
  for (const [i, leaf] of leaves.entries()) bus.store64(L3 + 8 * i, leaf === 0 ? 0 : PAGE + 4096 * i + leaf, 0);
  const { base } = iommu;
  bus.store32(base + CR1, 0xd75);
  bus.store64(base + STRTAB_BASE, STREAMS, 0);
  bus.store32(base + STRTAB_CFG, 8);
  bus.store64(base + CMDQ_BASE, COMMANDS + 3, 0);
  bus.store64(base + EVENTQ_BASE, EVENTS + 3, 0);
  bus.store32(base + IRQ_CTRL, 5);
  bus.store32(base + CR0, 0xd);
  expect(bus.load32(base + CR0ACK)).toBe(0xd);
}

describeOn('smmuv3', () => {
  it('moves data through stage-1 tables that were made by hand', () => {
    withQemu('smmuv3', (qemu) => {
      enable(qemu, [READ_WRITE, READ_WRITE]);
      const data = Uint8Array.from({ length: 4096 }, (_, i) => i * 11);
      qemu.memory.write(PAGE, data);
      edu(qemu).copy(IOVA, IOVA + 0x1000n, 4096);
      const moved = new Uint8Array(4096);
      qemu.memory.read(PAGE + 4096, moved);
      expect(moved).toEqual(data);
      expect(writes(qemu, IOVA + 8n, PAGE + 8)).toBe(true);
      expect(qemu.bus.load32(qemu.iommu.base + EVENTQ_PROD)).toBe(0);
    });
  });

  it.each([
    ['0x10 F_TRANSLATION for a page that is not there', 0, 0x10],
    ['0x13 F_PERMISSION for a write to a page that is read-only', READ_ONLY, 0x13],
  ])('records event %s, and raises its line', (_, leaf, event) => {
    withQemu('smmuv3', (qemu) => {
      enable(qemu, [leaf]);
      edu(qemu).store(IOVA, 4);
      expect(qemu.bus.load32(qemu.iommu.base + EVENTQ_PROD)).toBe(1);
      expect(qemu.memory.load32(EVENTS) & 0xff).toBe(event);
      expect(qemu.memory.load32(EVENTS + 4)).toBe(0x20);
      expect(qemu.memory.load32(EVENTS + 16)).toBe(0x8000_0000);
      expect(qemu.takeInterrupts().map(({ line }) => qemu.spec.interception?.lines[line])).toContain('eventq');
      expect(writes(qemu, IOVA, PAGE)).toBe(false);
    });
  });

  it('shows registers as bytes as well', () => {
    withQemu('smmuv3', ({ bus, iommu }) => {
      const words = Uint32Array.of(0x1234_5fc0, 0x12);
      bus.write(iommu.base + STRTAB_BASE, new Uint8Array(words.buffer));
      const out = new Uint32Array(2);
      bus.load64(iommu.base + STRTAB_BASE, out);
      const bytes = new Uint8Array(8);
      bus.read(iommu.base + STRTAB_BASE, bytes);
      expect([...out]).toEqual([...words]);
      expect([...bytes]).toEqual([...new Uint8Array(words.buffer)]);
    });
  });

  it('raises its line when CMD_SYNC asks for an interrupt', () => {
    withQemu('smmuv3', (qemu) => {
      enable(qemu, []);
      qemu.bus.store64(COMMANDS, 0x1046, 0);
      qemu.bus.store32(qemu.iommu.base + CMDQ_PROD, 1);
      expect(qemu.bus.load32(qemu.iommu.base + CMDQ_CONS)).toBe(1);
      const lines = qemu.takeInterrupts().map(({ line }) => qemu.spec.interception?.lines[line]);
      expect(new Set(lines)).toEqual(new Set(['cmdq-sync']));
    });
  });
});
