import { isIommuError } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { CONFIG, ECAM, FakeDevice, finish, OPTIONS } from '../../test/bench-top.js';
import { formatBdf, parseBdf } from './ecam-window.js';

describe('the configuration space of a function', () => {
  it('has the header and the capability chain that the fact sheet describes', () => {
    const { bus } = new FakeDevice();
    const word = (offset: number): number => bus.load32(CONFIG + offset);
    expect(word(0x00)).toBe(0x0e571d55);
    expect(word(0x08)).toBe(0x12000000);
    expect(word(0x10)).toBe(4);
    // ATS: id 0x0f, version 1, next 0x110; depth 32 is written 0, page aligned, global invalidate.
    expect(word(0x100)).toBe(0x1101000f);
    expect(word(0x104)).toBe(0x00000060);
    // PRI: Stopped (bit 8 of Status) and PRG Response PASID Required (bit 15), capacity 16.
    expect(word(0x110)).toBe(0x12010013);
    expect(word(0x114)).toBe(0x81000000);
    expect(word(0x118)).toBe(16);
    expect(word(0x11c)).toBe(0);
    // PASID: width 20 in bits 12:8, Exe and Priv supported, end of the chain.
    expect(word(0x120)).toBe(0x0001001b);
    expect(word(0x124)).toBe(0x00001406);
    expect(word(0x128)).toBe(0);
  });

  it('reads all ones where there is no function', () => {
    const { bus } = new FakeDevice();
    expect(bus.load32(ECAM)).toBe(0xffffffff);
    expect(bus.read16(ECAM + 0x19 * 4096)).toBe(0xffff);
  });

  it('leaves out a capability that the function lacks', () => {
    const { bus } = new FakeDevice({ pri: null });
    expect(bus.load32(CONFIG + 0x100)).toBe(0x1101000f);
    expect(bus.load32(CONFIG + 0x110)).toBe(0x0001001b);
  });

  it('ignores writes to read-only fields and to what is not there', () => {
    const { bus } = new FakeDevice();
    for (const offset of [0x00, 0x08, 0x18, 0x20, 0x34, 0x100, 0x104 /* capability half */, 0x118, 0x120, 0x200]) {
      const before = bus.load32(CONFIG + offset);
      bus.write16(CONFIG + offset, 0xffff);
      expect([offset, bus.load32(CONFIG + offset)]).toEqual([offset, before]);
    }
  });

  it('tells the size of its base address register, and answers where it points while memory space is on', () => {
    const { bus, registers } = new FakeDevice();
    bus.store32(CONFIG + 0x10, 0xffffffff);
    expect(bus.load32(CONFIG + 0x10)).toBe(0xfffff004);
    bus.store32(CONFIG + 0x10, 0x10000000);
    bus.store32(CONFIG + 0x14, 1);
    registers[1] = 0xcafe;
    expect(bus.load32(0x1_1000_0004)).toBe(0xffffffff);
    bus.write16(CONFIG + 0x04, 6);
    expect(bus.load32(0x1_1000_0004)).toBe(0xcafe);
    bus.store32(0x1_1000_0008, 5);
    expect(registers[2]).toBe(5);
    bus.write16(CONFIG + 0x04, 4);
    expect(bus.load32(0x1_1000_0004)).toBe(0xffffffff);
  });

  it('fixes STU while ATS is on (PCI-2)', () => {
    const { bus, fn } = new FakeDevice();
    bus.write16(CONFIG + 0x106, 0x0004);
    bus.write16(CONFIG + 0x106, 0x8004);
    expect(bus.read16(CONFIG + 0x106)).toBe(0x8004);
    expect(fn.state).toMatchObject({ ats: true, stu: 4 });
    bus.write16(CONFIG + 0x106, 0x8007);
    expect(bus.read16(CONFIG + 0x106)).toBe(0x8004);
  });

  it('fixes PASID control while ATS is on (PCI-1), and grants only supported modes', () => {
    const { bus, fn } = new FakeDevice();
    bus.write16(CONFIG + 0x126, 0x0007);
    expect(bus.read16(CONFIG + 0x126)).toBe(0x0007);
    bus.write16(CONFIG + 0x106, 0x8000);
    bus.write16(CONFIG + 0x126, 0);
    expect(bus.read16(CONFIG + 0x126)).toBe(0x0007);
    expect(fn.state.pasid).toBe(true);
    const plain = new FakeDevice({ pasid: { width: 16, exec: false, priv: false } });
    plain.bus.write16(CONFIG + 0x126, 0x0007);
    expect(plain.bus.read16(CONFIG + 0x126)).toBe(0x0001);
  });

  it('fixes the allocation while PRI is on, and never allocates more than the capacity (PCI-3)', () => {
    const { bus } = new FakeDevice();
    bus.store32(CONFIG + 0x11c, 99);
    expect(bus.load32(CONFIG + 0x11c)).toBe(16);
    bus.store32(CONFIG + 0x11c, 4);
    bus.write16(CONFIG + 0x114, 1);
    bus.store32(CONFIG + 0x11c, 8);
    expect(bus.load32(CONFIG + 0x11c)).toBe(4);
    expect(bus.read16(CONFIG + 0x114)).toBe(0x0001);
  });

  it('reads Reset as 0, and clears only the status bits that are written as 1', () => {
    const { bus, fn } = new FakeDevice();
    bus.write16(CONFIG + 0x114, 2);
    expect(bus.read16(CONFIG + 0x114)).toBe(0);
    fn.setResponseFailure();
    fn.setUnexpectedIndex();
    expect(bus.read16(CONFIG + 0x116)).toBe(0x8103);
    // A write to Control leaves Status alone.
    bus.write16(CONFIG + 0x114, 0);
    expect(bus.read16(CONFIG + 0x116)).toBe(0x8103);
    bus.write16(CONFIG + 0x116, 0x0001);
    expect(bus.read16(CONFIG + 0x116)).toBe(0x8102);
  });

  it('lets a function send with the PASIDs and wishes that are enabled, and nothing without bus mastering (ATC-15)', () => {
    const { bus, fn } = new FakeDevice({ pasid: { width: 4, exec: true, priv: true } });
    expect(fn.mayUse(-1, false, false)).toBe(false);
    bus.write16(CONFIG + 0x04, 4);
    expect(fn.mayUse(-1, false, false)).toBe(true);
    expect(fn.mayUse(1, false, false)).toBe(false);
    bus.write16(CONFIG + 0x126, 0x0003);
    expect(fn.mayUse(15, true, false)).toBe(true);
    expect(fn.mayUse(16, false, false)).toBe(false);
    expect(fn.mayUse(15, false, true)).toBe(false);
    expect(fn.mayUse(-1, true, false)).toBe(false);
  });

  it('forgets its enables on a function-level reset (PCI-10)', () => {
    const device = new FakeDevice();
    finish(device, () => device.enable());
    device.fn.reset();
    const { bus } = device;
    expect(bus.read16(CONFIG + 0x04)).toBe(0);
    expect(bus.read16(CONFIG + 0x106)).toBe(0);
    expect(bus.load32(CONFIG + 0x114)).toBe(0x81000000);
    expect(bus.load32(CONFIG + 0x11c)).toBe(0);
    expect(bus.read16(CONFIG + 0x126)).toBe(0);
    expect(device.fn.state).toMatchObject({ ats: false, pri: false, pasid: false, busMaster: false });
  });

  it('takes a depth of 5 as it is', () => {
    const { bus } = new FakeDevice({
      ats: { ...OPTIONS.ats!, queueDepth: 5, pageAligned: false, globalInvalidate: false },
    });
    expect(bus.load32(CONFIG + 0x104)).toBe(5);
  });
});

describe('EcamWindow', () => {
  it('refuses two functions at one place', () => {
    const device = new FakeDevice();
    expect(() => device.ecam.add(0x18, device.fn.config)).toThrow(/00:03\.0/);
  });

  it('reads and prints function names', () => {
    expect(parseBdf('0000:00:03.0')).toBe(0x18);
    expect(parseBdf('a1:1f.7')).toBe(0xa1ff);
    expect(formatBdf(0xa1ff)).toBe('a1:1f.7');
    for (const bad of ['', '0:3.0', '00:20.0', '00:03.8', '0000:00:03']) {
      let error: unknown = null;
      try {
        parseBdf(bad);
      } catch (e) {
        error = e;
      }
      expect(isIommuError(error, 'EINVAL')).toBe(true);
    }
  });
});
