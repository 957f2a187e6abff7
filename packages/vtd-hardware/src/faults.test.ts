import { describe, expect, it } from 'vitest';
import { hex, Rig, SID } from '../test/rig.js';
import type { Access } from './index.js';

const PAGE = 0x7f0000001;
const access: Access = { stream: SID, pasid: 5, page: PAGE, kind: 'read', priv: false, exec: false, at: 0 };
const record = (rig: Rig, change: Partial<Access> = {}, reason = 0x71): boolean =>
  rig.vtd.faults.record(reason, { ...access, ...change }, false);
/** Where record n is. */
const at = (n: number): number => 0x400 + n * 16;

describe('Faults', () => {
  it('writes the golden record: a read of a first-stage page that is not present (9.1)', () => {
    const rig = new Rig().enable();
    rig.pasid(rig.context(), 5);
    const link = rig.link();
    rig.deliver(link, { kind: 'read', at: 0, tag: 1, pasid: 5, page: PAGE, offset: 0x123, bytes: 4, witness: 0 });
    expect(rig.faults()).toEqual([['0x00007f0000001000', '0xc000057180000100']]);
    expect(rig.interrupts).toEqual(['fault']);
  });

  it.each([
    ['a write', { kind: 'write' }, '0x8000057180000100'],
    ['a page request: T2=1, T1=0', { kind: 'page-request' }, '0x8000057190000100'],
    ['an AtomicOp: T1=T2=1', { kind: 'atomic' }, '0xc000057190000100'],
    ['a privileged one', { priv: true }, '0xc0000571a0000100'],
    ['one that executes', { exec: true }, '0xc0000571c0000100'],
    ['one without PASID: PP, PV, PRIV and EXE are 0', { pasid: -1, priv: true, exec: true }, '0xc000007100000100'],
    ['the largest PASID', { pasid: 0xfffff }, '0xcfffff7180000100'],
    ['a translated one: AT=2', { at: 2 }, '0xe000057180000100'],
  ] as const)('says what the request was: %s', (_name, change, qw1) => {
    const rig = new Rig().enable();
    record(rig, change);
    expect(rig.faults()).toEqual([['0x00007f0000001000', qw1]]);
  });

  it('keeps NFR+1 faults, says the first in FRI, then overflows and takes no more until PFO is cleared (VTD-49)', () => {
    const rig = new Rig({ nfr: 2 }).enable();
    for (let n = 0; n < 5; n++) record(rig, { page: n });
    // PFO, PPF, FRI 0.
    expect(rig.fsts).toBe(3);
    expect([0, 1, 2].map((n) => hex(rig.read64(at(n))))).toEqual([
      '0x0000000000000000',
      '0x0000000000001000',
      '0x0000000000002000',
    ]);
    // Two are cleared: there is room, but PFO stands.
    rig.write(at(0) + 12, 0x8000_0000);
    rig.write64(at(1) + 8, 0x8000_0000_0000_0000n);
    expect(record(rig)).toBe(false);
    expect(rig.fsts).toBe(3);
    rig.write(0x34, 1);
    expect(rig.fsts).toBe(2);
    expect([record(rig, { page: 8 }), record(rig, { page: 9 })]).toEqual([true, true]);
    expect([hex(rig.read64(at(0))), hex(rig.read64(at(1)))]).toEqual(['0x0000000000008000', '0x0000000000009000']);
    rig.settle();
    expect(rig.interrupts).toEqual(['fault']);
  });

  it('merges faults of a requester that has a record pending, with mergeFaults (5.4)', () => {
    const rig = new Rig({ nfr: 0, mergeFaults: true }).enable();
    expect([record(rig), record(rig, { page: 8 }), rig.fsts]).toEqual([true, false, 2]);
    expect([record(rig, { stream: 0x108 }), rig.fsts]).toEqual([false, 3]);
  });

  it('wraps, and FRI is the first record that was pending when PPF was set', () => {
    const rig = new Rig({ nfr: 2 }).enable();
    record(rig);
    record(rig);
    for (const n of [0, 1]) rig.write(at(n) + 12, 0x8000_0000);
    expect(rig.fsts).toBe(0);
    record(rig);
    record(rig);
    expect(rig.fsts).toBe(0x202);
    rig.write(at(2) + 12, 0x8000_0000);
    // The other record is still pending.
    expect(rig.fsts).toBe(0x202);
  });

  it('raises the event once, and again only after everything was served', () => {
    const rig = new Rig().enable();
    record(rig);
    record(rig);
    rig.vtd.faults.raise(0x10);
    rig.settle();
    expect(rig.interrupts).toEqual(['fault']);
    rig.faults();
    expect(rig.fsts).toBe(0x10);
    // IQE has not been served: a further fault is no new event.
    record(rig);
    rig.settle();
    expect(rig.interrupts).toEqual(['fault']);
    rig.faults();
    rig.write(0x34, 0x10);
    record(rig);
    rig.settle();
    expect(rig.interrupts).toEqual(['fault', 'fault']);
  });

  it('leaves F and the rest of a record alone when something else is written to it', () => {
    const rig = new Rig().enable();
    record(rig);
    rig.write64(at(0), 0n);
    rig.write64(at(0) + 8, 0x7fff_ffff_ffff_ffffn);
    expect(rig.faults()).toEqual([['0x00007f0000001000', '0xc000057180000100']]);
  });

  it('begins at the first record again when translation is switched off (5.4)', () => {
    const rig = new Rig().enable();
    record(rig);
    rig.faults();
    rig.command(0, 0);
    record(rig, { page: 3 });
    expect([rig.fsts, hex(rig.read64(at(0)))]).toEqual([2, '0x0000000000003000']);
  });

  it('records nothing that FPD suppresses, and raises nothing (5.2)', () => {
    const rig = new Rig().enable();
    expect(rig.vtd.faults.record(0x59, access, true)).toBe(false);
    expect(rig.vtd.faults.record(0x50, access, true)).toBe(true);
    expect(rig.faults()).toHaveLength(1);
  });
});
