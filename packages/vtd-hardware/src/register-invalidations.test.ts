import { describe, expect, it } from 'vitest';
import { hex, Rig, SID } from '../test/rig.js';

const PAGE = 0x7f0000001;
const [OLD, NEW] = [0x40100, 0x40200];
const [CCMD, IVA, IOTLB] = [0x28, 0xf0, 0xf8];

/** Legacy mode without the queue: domain 7 is cached, and its page mapped anew. */
function cached(capabilities = {}) {
  const rig = new Rig(capabilities).enable(0);
  rig.command(0, 0x8000_0000);
  const root = rig.legacy();
  rig.mapSecond(root, PAGE, OLD);
  expect(rig.translate(SID, -1, PAGE)).toBe(OLD);
  rig.mapSecond(root, PAGE, NEW);
  return rig;
}
/** Writes IVA and IOTLB, or CCMD, and runs; what the register says then. */
function run(rig: Rig, at: number, value: bigint, iva = 0n): string {
  rig.write64(IVA, iva);
  rig.write64(at, value);
  expect(rig.read(at + 4) >>> 31).toBe(1);
  rig.settle();
  return hex(rig.read64(at));
}

describe('RegisterInvalidations', () => {
  it.each([
    ['globally', 0x9000_0000_0000_0000n, 0n, '0x1200000000000000', NEW],
    ['of a domain, DR and DW', 0xa003_0007_0000_0000n, 0n, '0x2403000700000000', NEW],
    ['of another domain', 0xa000_0008_0000_0000n, 0n, '0x2400000800000000', OLD],
    ['of a page', 0xb000_0007_0000_0000n, 0x7f0000001000n, '0x3600000700000000', NEW],
    ['of 2 pages', 0xb000_0007_0000_0000n, 0x7f0000000001n, '0x3600000700000000', NEW],
    ['of another page', 0xb000_0007_0000_0000n, 0x7f0000002000n, '0x3600000700000000', OLD],
    ['of nothing', 0x8000_0007_0000_0000n, 0n, '0x0000000700000000', OLD],
    ['of more pages than MAMV allows: IAIG 0', 0xb000_0007_0000_0000n, 19n, '0x3000000700000000', OLD],
  ])('drops translations %s, and says what it did in IAIG (1.7)', (_name, value, iva, expected, frame) => {
    const rig = cached();
    expect(run(rig, IOTLB, value, iva)).toBe(expected);
    expect(rig.translate(SID, -1, PAGE)).toBe(frame);
  });

  it('drops the domain in place of pages without CAP.PSI', () => {
    const rig = cached({ psi: false });
    expect(run(rig, IOTLB, 0xb000_0007_0000_0000n, 0x1000n)).toBe('0x3400000700000000');
    expect(rig.translate(SID, -1, PAGE)).toBe(NEW);
  });

  it.each([
    ['globally', 0xa000_0000_0000_0000n, '0x2800000000000000', NEW],
    ['of a domain', 0xc000_0000_0000_0007n, '0x5000000000000007', NEW],
    ['of a device', 0xe000_0000_0100_0007n, '0x7800000001000007', NEW],
    ['of another device', 0xe000_0000_0200_0007n, '0x7800000002000007', OLD],
  ])('drops context entries %s, and says what it did in CAIG (1.6)', (_name, value, expected, frame) => {
    const rig = new Rig().enable(0);
    rig.command(0, 0x8000_0000);
    rig.mapSecond(rig.legacy(), PAGE, OLD);
    expect(rig.translate(SID, -1, PAGE)).toBe(OLD);
    rig.mapSecond(rig.legacy(), PAGE, NEW);
    expect(run(rig, CCMD, value)).toBe(expected);
    run(rig, IOTLB, 0x9000_0000_0000_0000n);
    expect(rig.translate(SID, -1, PAGE)).toBe(frame);
  });

  it.each([
    ['while the queue is on', {}, 0, 0x8400_0000],
    ['in scalable mode', {}, 1, 0x8000_0000],
    ['from version 6 on', { version: 6 }, 0, 0x8000_0000],
  ])('does nothing, and says so, %s', (_name, capabilities, ttm, levels) => {
    const rig = new Rig(capabilities).enable(ttm);
    rig.command(0, levels);
    expect(run(rig, IOTLB, 0x9000_0000_0000_0000n)).toBe('0x1000000000000000');
    rig.write64(CCMD, 0xa000_0000_0000_0000n);
    rig.settle();
    expect((rig.read64(CCMD) >> 59n) & 0x13n).toBe(0n);
  });

  it('does not read IVA back: it is write-only', () => {
    const rig = cached();
    rig.write64(IVA, 0x1000n);
    expect(rig.read64(IVA)).toBe(0n);
  });
});
