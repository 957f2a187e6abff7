import { describe, expect, it } from 'vitest';
import { ATC_INV, cached, PAGE, SYNC } from '../test/cached.js';
import { CommandQueue, InvalidateRequests } from './index.js';

const NH_ASID = 0x0012000000000011n;
/** Reserved, MPAM, EL3, stage 2, Secure, DPT and IMPLEMENTATION DEFINED opcodes. */
const NOT_HERE = [
  0x00n,
  0x07n,
  0x18n,
  0x1an,
  0x28n,
  0x2an,
  0x50n,
  0x51n,
  0x52n,
  0x53n,
  0x58n,
  0x5an,
  0x60n,
  0x70n,
  0x73n,
  0x80n,
  0x8fn,
  0xffn,
];

describe('errors of the command queue (smmuv3.md 4.4)', () => {
  it('leave CONS at the command that failed, and everything behind it unconsumed, across the wrap', () => {
    const { rig } = cached();
    for (let i = 0; i < 6; i++) rig.command(SYNC, 0n);
    rig.command(SYNC, 0n, 0x00n, 0n, NH_ASID, 0n);
    expect(rig.read(0x9c)).toBe(0x01000007);
    expect(rig.read(0x98)).toBe(9);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
    rig.store(rig.cmdq + 7 * 16, SYNC);
    rig.write(0x64, 1);
    rig.settle();
    expect(rig.read(0x9c)).toBe(9);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40200);
  });

  it('fetch a slot again that was rewritten after the error, and not what it held before', () => {
    const { rig } = cached();
    rig.command(0x00n, 0n);
    rig.store(rig.cmdq, NH_ASID);
    rig.write(0x64, 1);
    rig.settle();
    expect(rig.read(0x9c)).toBe(1);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40200);
  });

  it('let PROD move back while the queue is stopped', () => {
    const { rig } = cached();
    rig.command(SYNC, 0n, 0x00n, 0n, NH_ASID, 0n);
    rig.write(0x98, 1);
    rig.write(0x64, 1);
    rig.settle();
    expect(rig.read(0x9c)).toBe(0x01000001);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
    expect(rig.read(0x60)).toBe(1);
  });

  it('come again, with another toggle of GERROR, when the slot is still wrong', () => {
    const { rig } = cached();
    rig.command(0x00n, 0n);
    rig.write(0x64, 1);
    rig.settle();
    expect([rig.read(0x9c), rig.read(0x60)]).toEqual([0x01000000, 0]);
    expect(rig.interrupts).toEqual(['gerror', 'gerror']);
  });

  it('fetch again after CERROR_ABT from where the queue now is', () => {
    const { rig } = cached();
    rig.write(0x20, 0x17);
    rig.write64(0x90, 0x80_0000_0003n);
    rig.write(0x20, 0x1f);
    rig.command(NH_ASID, 0n);
    expect([rig.read(0x9c), rig.read(0x60)]).toEqual([0x02000000, 1]);
    rig.write(0x20, 0x17);
    rig.write64(0x90, BigInt(rig.cmdq) | 3n);
    rig.write(0x20, 0x1f);
    rig.write(0x64, 1);
    rig.settle();
    expect(rig.read(0x9c)).toBe(1);
  });

  it('take no harm from an error while the queue is off and on again', () => {
    const { rig } = cached();
    rig.command(0x00n, 0n);
    rig.write(0x20, 0x17);
    rig.write(0x98, 0);
    rig.write(0x9c, 0);
    rig.prod = 0;
    rig.write(0x20, 0x1f);
    rig.command(NH_ASID, 0n);
    // CMDQ_ERR is still active: nothing is consumed.
    expect(rig.cons).toBe(0);
    rig.write(0x64, 1);
    rig.settle();
    expect(rig.cons).toBe(1);
  });

  it('stop at the SYNC with CERROR_ATC_INV_SYNC, which is retried; what follows it is not lost (L51)', () => {
    const { rig } = cached();
    rig.command(ATC_INV, 0x34n, SYNC, 0n, NH_ASID, 0n, SYNC, 0n);
    expect(rig.read(0x9c)).toBe(0x03000001);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
    rig.write(0x64, 1);
    rig.settle();
    expect(rig.read(0x9c)).toBe(4);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40200);
  });

  it('would lose it if the queue went on behind the SYNC (L51, abort-skips-slots)', () => {
    class SkipsSlots extends CommandQueue {
      override stopIndex(): number {
        return this.ring.after(this.ring.after(this.ring.cons));
      }
    }
    const { rig } = cached({ CommandQueue: SkipsSlots });
    rig.command(ATC_INV, 0x34n, SYNC, 0n, NH_ASID, 0n, SYNC, 0n);
    rig.write(0x64, 1);
    rig.settle();
    expect(rig.read(0x9c)).toBe(4);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
  });

  it('would not come at all if a silent device were waited for for ever (L51, atc-wait-forever)', () => {
    class Patient extends InvalidateRequests {
      override timeOut(): void {}
    }
    const { rig } = cached({ InvalidateRequests: Patient });
    rig.command(ATC_INV, 0x34n, SYNC, 0n);
    expect(rig.read(0x9c)).toBe(1);
  });

  it('are none for a device that is gone: an endpoint without a link completes at once', () => {
    const { rig } = cached();
    rig.command(0x0000009900000040n, 0x34n, SYNC, 0n);
    expect(rig.read(0x9c)).toBe(2);
  });

  it.each<[string, bigint, bigint]>([
    ['a Secure PREFETCH_CONFIG', 0x0000004200000c01n, 0n],
    ['a Secure ATC_INV', 0x0000004200000440n, 0x34n],
    ['a Secure SYNC', 0x0fc02446n, 0n],
    ...NOT_HERE.map((opcode): [string, bigint, bigint] => [`opcode 0x${opcode.toString(16)}`, opcode, 0n]),
  ])('are CERROR_ILL for %s (4.1, 4.2)', (_name, dw0, dw1) => {
    const { rig } = cached();
    rig.command(dw0, dw1);
    expect(rig.read(0x9c)).toBe(0x01000000);
  });
});
