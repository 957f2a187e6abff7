import { openSync } from 'node:fs';
import { join } from 'node:path';
import { isIommuError, Kernel } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { withFolder } from '../test/leftovers.js';
import { PlainTransport } from '../test/plain-transport.js';
import { QemuMachineBus } from './machine-bus.js';
import { QEMU_MACHINES } from './machines/machines.js';
import { allocateMemory, MemoryFile } from './process/memory-file.js';
import { ramRanges } from './qemu-machine.js';
import { QtestClient } from './qtest/client.js';

const MIB = 2 ** 20;
const spec = QEMU_MACHINES['vtd-legacy'];

/** A bus over 4 MiB of memory in a file and a plain transport. */
function withBus(body: (bus: QemuMachineBus, transport: PlainTransport, kernel: Kernel, path: string) => void) {
  return withFolder((folder) => {
    const path = join(folder, 'memory');
    const memory = new MemoryFile(allocateMemory(path, 4 * MIB), ramRanges(spec, 4 * MIB));
    const transport = new PlainTransport();
    const kernel = new Kernel();
    try {
      body(new QemuMachineBus(kernel, { client: new QtestClient(transport), memory, spec }), transport, kernel, path);
    } finally {
      memory.close();
    }
  });
}

describe('QemuMachineBus', () => {
  it('goes to the file for RAM and to qtest for everything else, the hole of q35 included', () =>
    withBus((bus, transport) => {
      const out = new Uint32Array(2);
      bus.store64(3 * MIB, 0xfedcba98, 0x76543210);
      bus.load64(3 * MIB, out);
      expect([...out]).toEqual([0xfedcba98, 0x76543210]);
      expect(transport.sent).toEqual([]);
      bus.store32(0xfed9_0000, 0x80000000);
      bus.store64(0xa_0000, 1, 2);
      bus.load64(0xa_0000, out);
      expect([...out, bus.load32(0xfed9_0000), bus.read8(0x9_ffff)]).toEqual([1, 2, 0x80000000, 0]);
      expect(transport.sent).toEqual([
        'writel 0xfed90000 0x80000000',
        'writeq 0xa0000 0x200000001',
        'readq 0xa0000',
        'readl 0xfed90000',
      ]);
    }));

  it('sees at once what the other side writes', () =>
    withBus((bus, _, __, path) => {
      bus.store32(2 * MIB, 1);
      const other = new MemoryFile(openSync(path, 'r+'), ramRanges(spec, 4 * MIB));
      other.store32(2 * MIB, 0xffffffff);
      other.close();
      expect(bus.load32(2 * MIB)).toBe(0xffffffff);
    }));

  it('reads and writes bytes and halves', () =>
    withBus((bus) => {
      bus.write8(3 * MIB + 1, 0xab);
      bus.write16(3 * MIB + 2, 0x1234);
      const bytes = new Uint8Array(4);
      bus.read(3 * MIB, bytes);
      expect([bus.load32(3 * MIB), bus.read8(3 * MIB + 1), bus.read16(3 * MIB + 2), [...bytes]]).toEqual([
        0x1234ab00,
        0xab,
        0x1234,
        [0, 0xab, 0x34, 0x12],
      ]);
    }));

  it('refuses accesses that are not aligned to their width (EINVAL)', () =>
    withBus((bus) => {
      for (const access of [() => bus.load32(2), () => bus.store64(4, 0, 0), () => bus.write16(0xfed9_0001, 0)]) {
        expect(access).toThrow('is not aligned (EINVAL)');
      }
    }));

  it('hands out zeroed frames, none of the first 2 MiB', () =>
    withBus((bus) => {
      bus.store32(2 * MIB, 77);
      const pfn = bus.frames.alloc('table');
      expect([pfn, bus.load32(pfn * 4096)]).toEqual([512, 0]);
      expect(bus.memory.frameCount).toBe(512);
    }));

  it('swaps a word that is as expected', () =>
    withBus((bus) => {
      bus.store64(3 * MIB, 1, 2);
      expect(bus.swap64(3 * MIB, Uint32Array.of(1, 3), 9, 9)).toBe(false);
      expect(bus.swap64(3 * MIB, Uint32Array.of(1, 2), 8, 9)).toBe(true);
      const out = new Uint32Array(2);
      bus.load64(3 * MIB, out);
      expect([...out]).toEqual([8, 9]);
      expect(bus.swap64(0xfed9_0000, Uint32Array.of(0, 0), 8, 9)).toBe(false);
    }));

  it('takes no windows of this process (EOPNOTSUPP)', () =>
    withBus((bus) => {
      try {
        bus.claim(0x1000_0000, 64, { read: () => {}, write: () => {} });
        expect.unreachable();
      } catch (error) {
        expect(isIommuError(error, 'EOPNOTSUPP')).toBe(true);
      }
    }));
});
