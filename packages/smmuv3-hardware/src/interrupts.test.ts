import { describe, expect, it } from 'vitest';
import { hex, Rig } from '../test/rig.js';
import { Interrupts } from './index.js';

const PAGE = 0x7f1234567;
const SYNC = 0x0fc02046n;
const HOLE = 0x80_0000_0000n;
const read = { kind: 'read', at: 0, tag: 1, pasid: 5, page: PAGE, offset: 0, bytes: 8, witness: 0 } as const;
const request = { kind: 'page-request', pasid: 5, prgi: 1, page: PAGE, perm: 1, last: true } as const;

/** What is reported, where its message is configured (1.1), its bit in GERROR if the message aborts (1.6), and what causes it. */
const SOURCES: [string, number, string, number, (rig: Rig) => void][] = [
  ['an event', 0xb0, 'eventq', 0x20, (rig) => rig.deliver(rig.link(0x42), read)],
  ['a page request', 0xd0, 'priq', 0x40, (rig) => rig.deliver(rig.link(0x42), request)],
  ['a global error', 0x68, 'gerror', 0x80, (rig) => rig.command(0n, 0n)],
];

function configured(at: number, address: bigint, capabilities: Record<string, boolean> = { msi: true }): Rig {
  const rig = new Rig(capabilities);
  rig.write64(at, address);
  rig.write(at + 8, 0xabcd1234);
  return rig.enable();
}

describe('Interrupts (smmuv3.md 1.5, 1.6)', () => {
  it.each(SOURCES)('write a message for %s where ADDR is not 0', (_name, at, line, _bit, cause) => {
    const word = 0x4010_0000n;
    const rig = configured(at, word);
    cause(rig);
    expect(rig.interrupts).not.toContain(line);
    expect(hex(rig.load(Number(word)))).toBe('0x00000000abcd1234');
  });

  it.each(SOURCES)('pulse a wire for %s where ADDR is 0, or without MSI', (_name, at, line, _bit, cause) => {
    for (const rig of [configured(at, 0n), configured(at, 0x4010_0000n, { msi: false })]) {
      cause(rig);
      expect(rig.interrupts).toContain(line);
      expect(rig.load(0x4010_0000)).toBe(0n);
    }
  });

  it.each(SOURCES)('report a message for %s that nothing takes, in GERROR, once', (_name, at, line, bit, cause) => {
    const rig = configured(at, HOLE);
    cause(rig);
    expect(rig.read(0x60) & 0xf0).toBe(bit);
    // GERROR's own message is the one error that does not interrupt.
    expect(rig.interrupts).toEqual(line === 'gerror' ? [] : ['gerror']);
    rig.write(0x64, rig.read(0x60) & ~bit);
    cause(rig);
    expect(rig.read(0x60) & 0xf0).toBe(bit);
  });

  it('report the message of a SYNC that nothing takes, and the SYNC completes', () => {
    const rig = new Rig({ msi: true }).enable();
    rig.command(0xabcd12340000_1046n, HOLE, SYNC, 0n);
    expect(rig.read(0x60)).toBe(0x10);
    expect([rig.cons, rig.error]).toEqual([2, 0]);
    expect(rig.interrupts).toEqual(['gerror']);
  });

  it('count a register window without 32-bit writes as nothing', () => {
    const rig = new Rig({ msi: true });
    const writes: number[] = [];
    const target = { read: () => {}, write: (offset: number) => void writes.push(offset) };
    rig.bus.claim(0x1000_0000, 0x1000, { ...target, widths: [8] });
    rig.bus.claim(0x1000_1000, 0x1000, target);
    rig.enable().command(0x1_0000_1046n, 0x1000_0008n);
    expect([rig.read(0x60), writes]).toEqual([0x10, []]);
    rig.command(0x1_0000_1046n, 0x1000_1008n);
    expect(writes).toEqual([8]);
  });

  it('take the word that a driver polls in place of its own SYNC (msipoll, smmuv3.md 4.2)', () => {
    const rig = new Rig({ msi: true }).enable();
    rig.command(0x1046n, BigInt(rig.cmdq));
    expect(hex(rig.load(rig.cmdq))).toBe('0x0000000000000000');
    expect(rig.cons).toBe(1);
  });

  it('come after the record and PROD (smmuv3.md 5.6)', () => {
    const seen: string[] = [];
    class Watched extends Interrupts {
      override raise(source: Parameters<Interrupts['raise']>[0]): void {
        seen.push(`${source.line}: PROD ${rig.read(0x100a8)}/${rig.read(0x100c8)}`);
        seen.push(`${hex(rig.load(rig.eventq))} ${hex(rig.load(rig.priq))}`);
        super.raise(source);
      }
    }
    const rig: Rig = new Rig({}, {}, { Interrupts: Watched }).enable();
    rig.cdTable(0x42, 6);
    rig.deliver(rig.link(0x42), read, request);
    expect(seen).toEqual([
      'eventq: PROD 1/0',
      '0x000000420000580a 0x0000000000000000',
      'priq: PROD 1/1',
      '0x000000420000580a 0xd000000500000042',
    ]);
  });
});
