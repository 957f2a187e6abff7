import { describe, expect, it } from 'vitest';
import { BASE, hex, Rig, SID } from '../test/rig.js';

const PAGE = 0x7f0000001;

describe('RegisterFile', () => {
  it('says what the unit can do: VER, CAP and ECAP (1.2, 1.3)', () => {
    const rig = new Rig();
    // ND 6, SAGAW 39 and 48 bits, MGAW 48, ZLR, FRO 0x40, SLLPS 2M and 1G, PSI, NFR 8, MAMV 18, DWD, DRD, FL1GP.
    expect(hex(rig.read64(0x08))).toBe('0x01d2078c406f0606');
    // C QI DT PT SC, IRO 0xf, PRS SRS NWFS EAFS, PSS 20 bits, PASID PDS SMTS SLTS FLTS SMPWCS RPS ADMS RPRIVS SMS.
    expect(hex(rig.read64(0x10))).toBe('0x0433cd9ea0000fc7');
    expect(rig.read(0)).toBe(0x10);
  });

  it.each([
    [{ cm: true }, 0x08, 0x80n],
    [{ rwbf: true }, 0x08, 0x10n],
    [{ fl5lp: true }, 0x08, 1n << 60n],
    [{ esrtps: true }, 0x08, 1n << 63n],
    [{ sagaw: 14 }, 0x08, 0x800n],
    [{ slads: true }, 0x10, 1n << 45n],
    [{ ecs: true, dis: true }, 0x10, 9n << 24n],
    [{ dit: true }, 0x10, 1n << 41n],
    [{ ers: true }, 0x10, 1n << 30n],
    [{ mts: true }, 0x10, 1n << 25n],
  ])('says that it has %j', (capabilities, offset, bits) => {
    const [without, rig] = [new Rig(), new Rig(capabilities)];
    expect(rig.read64(offset) ^ without.read64(offset)).toBe(bits);
  });

  it.each([
    ['GCMD is write-only', 0x18, 0xffff_ffffn, 0n],
    ['RTADDR: TTM and address', 0x20, 0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_fc00n],
    ['FSTS: nothing to clear, the rest read-only', 0x34, 0xffff_ffffn, 0n],
    ['FECTL: IM', 0x38, 0x0n, 0n],
    ['FEDATA', 0x3c, 0xffff_ffffn, 0xffff_ffffn],
    ['FEADDR: [31:2]', 0x40, 0xffff_ffffn, 0xffff_fffcn],
    ['FEUADDR is reserved without EIM', 0x44, 0xffff_ffffn, 0n],
    ['IQH is read-only', 0x80, 0xffff_ffffn, 0n],
    ['IQA: QS, DW and address', 0x90, 0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_f807n],
    ['PQH: [18:4]', 0xc0, 0xffff_ffff_ffff_ffffn, 0x7fff0n],
    ['PQA: PQS and address', 0xd0, 0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_f007n],
    ['IVA is write-only', 0xf0, 0xffff_ffff_ffff_ffffn, 0n],
    ['IQERCD is read-only', 0xb0, 0xffff_ffff_ffff_ffffn, 0n],
    ['IRTA is absent without IR', 0xb8, 0xffff_ffff_ffff_ffffn, 0n],
    ['AFLOG is absent', 0x58, 0xffff_ffff_ffff_ffffn, 0n],
    ['PMEN is absent', 0x64, 0xffff_ffffn, 0n],
    ['a place without a register', 0x48, 0xffff_ffff_ffff_ffffn, 0n],
    ['CAP is read-only', 0x08, 0n, 0x01d2078c406f0606n],
  ])('follows the access rules: %s', (_name, offset, written, reads) => {
    const rig = new Rig();
    const narrow = written < 2n ** 32n;
    if (narrow) rig.write(offset, Number(written));
    else rig.write64(offset, written);
    const read = reads >= 2n ** 32n || !narrow ? rig.read64(offset) : BigInt(rig.read(offset));
    expect(hex(read)).toBe(hex(reads));
  });

  it('takes 64-bit registers as two halves, and ignores bytes', () => {
    const rig = new Rig();
    rig.write(0x20, 0x1234_5400);
    rig.write(0x24, 0x12);
    rig.bus.write8(BASE + 0x20, 0xff);
    rig.bus.write16(BASE + 0x20, 0xffff);
    expect(hex(rig.read64(0x20))).toBe('0x0000001212345400');
    expect(rig.bus.read8(BASE + 0x21)).toBe(0);
  });

  it('has no registers of what it cannot do: page requests, the queue, CCMD from version 6 on (1.6)', () => {
    const without = new Rig({ prs: false, qi: false, version: 6 });
    for (const [at, value] of [
      [0xd0, 0xf000],
      [0x90, 0xf000],
      [0x28, 0xffff],
    ]) {
      without.write(at, value);
      expect(without.read(at)).toBe(0);
    }
    expect([without.read(0xe0), without.read(0xa0), without.read(0x38)]).toEqual([0, 0, 0x8000_0000]);
    without.command(0, 0x0400_0000);
    expect(without.read(0x1c)).toBe(0);
  });

  it('latches RTADDR by SRTP only, not when it is written and not by TE (VTD-3)', () => {
    const rig = new Rig().enable();
    const directory = rig.context();
    rig.map(rig.pasid(directory, 5), PAGE, 0x40100);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
    // Another root table, empty, in legacy mode.
    rig.write64(0x20, BigInt(rig.frames(0)));
    rig.command(0, 0);
    rig.command(0, 0x8000_0000);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
    rig.command(0x4000_0000);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x31');
    expect(rig.read(0x1c)).toBe(0xc000_0000);
  });

  it.each([
    [false, 0x40100, 'keeps what is cached when the root table changes: software has to invalidate (VTD-3)'],
    [true, 0x40200, 'drops what is cached at SRTP with ESRTPS (VTD-3)'],
  ])('ESRTPS=%s', (esrtps, frame, _name) => {
    const rig = new Rig({ esrtps }).enable();
    const root = rig.pasid(rig.context(), 5);
    rig.map(root, PAGE, 0x40100);
    rig.translate(SID, 5, PAGE);
    rig.map(root, PAGE, 0x40200);
    rig.command(0x4000_0000);
    expect(rig.translate(SID, 5, PAGE)).toBe(frame);
  });

  it('translates nothing with TE=0, and knows no PASIDs then', () => {
    const rig = new Rig();
    expect([rig.translate(SID, -1, PAGE), rig.translate(SID, 5, PAGE)]).toEqual([PAGE, 'fault 0x0']);
  });

  it('gives a status bit for each command, level or once (1.4)', () => {
    const rig = new Rig();
    rig.write64(0x20, BigInt(rig.root) | 0x400n);
    const status = (command: number): number => {
      rig.write(0x18, command);
      return rig.read(0x1c);
    };
    expect(status(0x4000_0000)).toBe(0x4000_0000);
    expect(status(0x8000_0000)).toBe(0xc000_0000);
    // A write that leaves TE out switches it off; flushes of write buffers are done at once; what there is not stays 0.
    expect(status(0x0800_0000)).toBe(0x4000_0000);
    expect(status(0x3380_0000)).toBe(0x4000_0000);
  });
});
