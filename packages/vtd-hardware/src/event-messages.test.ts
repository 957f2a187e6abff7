import { expect, it } from 'vitest';
import { Rig } from '../test/rig.js';

const [FECTL, FEDATA, FEADDR] = [0x38, 0x3c, 0x40];
const UNMASKED = 0;

it("a unit's own message is sent as it is while translation is on: its address is none of a DMA's (VTD-50)", () => {
  const rig = new Rig().enable();
  const at = rig.frames(0);
  rig.write(FEDATA, 0x4021);
  rig.write(FEADDR, at);
  rig.write(FECTL, UNMASKED);
  rig.vtd.faults.raise(0x10);
  expect(rig.bus.load32(at)).toBe(0x4021);
  // The one fault is the one that was reported: the message has made none.
  expect(rig.read(0x34)).toBe(0x10);
});

it("a unit's own message is an interrupt in both formats, and no handle is looked up (VTD-50)", () => {
  for (const address of [0xfee0_0000, 0xfee0_0030, 0xfeef_fff8]) {
    const rig = new Rig().enable();
    rig.write(FEADDR, address);
    rig.vtd.faults.raise(0x10);
    rig.settle();
    expect([rig.interrupts, rig.read(0x34)]).toEqual([['fault'], 0x10]);
  }
});
