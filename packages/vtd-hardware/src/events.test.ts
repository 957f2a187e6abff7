import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';

const IM = 0x8000_0000;
const IP = 0x4000_0000;

/** The three event blocks: name, control register, and how to make a cause and to serve it. */
const BLOCKS = [
  ['fault', 0x38, (rig: Rig) => rig.vtd.faults.raise(0x10), (rig: Rig) => rig.write(0x34, 0x10)],
  [
    'invalidation',
    0xa0,
    (rig: Rig) => {
      rig.vtd.registers.put(0x9c, 1);
      rig.vtd.events.raise('invalidation');
    },
    (rig: Rig) => rig.write(0x9c, 1),
  ],
  [
    'page-request',
    0xe0,
    (rig: Rig) => {
      rig.vtd.registers.put(0xdc, 1);
      rig.vtd.events.raise('page-request');
    },
    (rig: Rig) => rig.write(0xdc, 1),
  ],
] as const;

describe.each(BLOCKS)('the %s event (1.1)', (name, control, cause, serve) => {
  const rigged = (): Rig => {
    const rig = new Rig();
    rig.write(control + 8, 0xfee0_1000);
    return rig;
  };

  it('is masked at reset, held in IP, and sent when IM is cleared', () => {
    const rig = rigged();
    expect(rig.read(control)).toBe(IM);
    cause(rig);
    expect(rig.read(control)).toBe((IM | IP) >>> 0);
    expect(rig.interrupts).toEqual([]);
    rig.write(control, 0);
    expect(rig.read(control)).toBe(0);
    rig.settle();
    expect(rig.interrupts).toEqual([name]);
  });

  it('is held no more when every cause is served', () => {
    const rig = rigged();
    cause(rig);
    serve(rig);
    expect(rig.read(control)).toBe(IM);
    rig.write(control, 0);
    rig.settle();
    expect(rig.interrupts).toEqual([]);
  });

  it('is sent at once while it is not masked', () => {
    const rig = rigged();
    rig.write(control, 0);
    cause(rig);
    expect(rig.read(control)).toBe(0);
    rig.settle();
    expect(rig.interrupts).toEqual([name]);
  });

  it('is a write of its data where its address is no interrupt, and is lost where nothing takes it', () => {
    const rig = rigged();
    const at = rig.frames(0);
    rig.write(control + 4, 0x4021);
    rig.write(control + 8, at);
    rig.write(control, 0);
    cause(rig);
    expect(rig.bus.load32(at)).toBe(0x4021);
    serve(rig);
    rig.write(control + 8, 0x1000);
    cause(rig);
    rig.settle();
    expect(rig.interrupts).toEqual([]);
  });
});
