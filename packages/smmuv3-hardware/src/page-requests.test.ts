import { describe, expect, it } from 'vitest';
import { hex, Rig } from '../test/rig.js';

const PAGE = 0x7f1234567;
const request = (prgi: number, perm = 1, last = true, pasid = 5) =>
  ({ kind: 'page-request', pasid, prgi, page: PAGE, perm, last }) as const;

/** SID 0x42 with a valid STE; dw1 adds PPAR (bit 18) when wanted. */
function rigged(capabilities = {}, dw1 = 0x1000_0000n) {
  const rig = new Rig(capabilities).enable();
  rig.cdTable(0x42, 6, dw1);
  return { rig, link: rig.link(0x42) };
}
const records = (rig: Rig, count: number) =>
  Array.from({ length: count }, (_, i) => [hex(rig.load(rig.priq + i * 16)), hex(rig.load(rig.priq + i * 16 + 8))]);
const answer = (prgi: number, code: number, pasid: number) => ({ kind: 'prg-response', pasid, prgi, code });

describe('PageRequestQueue', () => {
  it('writes requests and stop markers as in the examples of 5.5', () => {
    const { rig, link } = rigged();
    rig.deliver(link, request(0x11), request(7, 0), request(1, 2, false), request(2, 15, true, -1));
    expect(records(rig, 4)).toEqual([
      ['0xd000000500000042', '0x00007f1234567011'],
      ['0xc000000500000042', '0x0000000000000000'],
      ['0xa000000500000042', '0x00007f1234567001'],
      // Without PASID, X and Priv are 0.
      ['0x7000000000000042', '0x00007f1234567002'],
    ]);
    expect(rig.read(0x100c8)).toBe(4);
    expect(rig.interrupts).toEqual(['priq']);
    expect(link.sent).toEqual([]);
  });

  it('answers Success to the last request of a group that overflows, and nothing to others (5.6)', () => {
    const { rig, link } = rigged();
    for (let i = 0; i < 4; i++) rig.deliver(link, request(i, 1, false));
    rig.deliver(link, request(4, 1, false));
    expect(rig.read(0x100c8)).toBe(0x80000004);
    rig.deliver(link, request(5), request(6, 0), request(7, 1, true, -1));
    expect(link.sent).toEqual([answer(5, 0, -1), answer(7, 0, -1)]);
  });

  it('wraps: six requests through a queue of four, with the wrap bit above the index (5.6)', () => {
    const { rig, link } = rigged();
    for (let n = 0; n < 6; n += 3) {
      rig.deliver(link, request(n), request(n + 1), request(n + 2));
      rig.write(0x100cc, rig.read(0x100c8));
    }
    expect(rig.read(0x100c8)).toBe(6);
    expect(records(rig, 4).map(([, dw1]) => BigInt(dw1) & 0x1ffn)).toEqual([4n, 5n, 2n, 3n]);
  });

  it('cuts numbers that no message can carry to the width of their fields', () => {
    const { rig, link } = rigged();
    rig.deliver(link, { ...request(0x3ff), pasid: 2 ** 20 + 5 }, { ...request(0.5), page: -1 });
    expect(records(rig, 2)).toEqual([
      ['0xd000000500000042', '0x00007f12345671ff'],
      ['0xd000000500000042', '0xfffffffffffff000'],
    ]);
  });

  it('queues nothing while the overflow is not acknowledged, even with room (5.6)', () => {
    const { rig, link } = rigged();
    for (let i = 0; i < 5; i++) rig.deliver(link, request(i, 1, false));
    rig.write(0x100cc, 4);
    rig.deliver(link, request(5));
    expect(link.sent).toHaveLength(1);
    rig.write(0x100cc, 0x80000004);
    rig.deliver(link, request(6));
    expect(link.sent).toHaveLength(1);
    expect(rig.read(0x100c8)).toBe(0x80000005);
  });

  it.each([
    ['PPS=0 and PPAR=0', {}, 0x1000_0000n, -1],
    ['PPS=0 and PPAR=1', {}, 0x1004_0000n, 5],
    ['PPS=1', { pps: true }, 0x1000_0000n, 5],
  ])('places the PASID of automatic responses by %s', (_name, capabilities, dw1, pasid) => {
    const { rig, link } = rigged(capabilities, dw1);
    for (let i = 0; i < 5; i++) rig.deliver(link, request(i, 1, i === 4));
    expect(link.sent).toEqual([answer(4, 0, pasid)]);
  });

  it('answers Failure on overflow when the STE is not valid and PPS=0', () => {
    const { rig } = rigged();
    const link = rig.link(0x43);
    for (let i = 0; i < 5; i++) rig.deliver(link, request(i, 1, i === 4));
    expect(link.sent).toEqual([answer(4, 15, -1)]);
  });

  it.each([
    ['PRIQEN=0', 0x1d],
    ['SMMUEN=0', 0x1e],
  ])('answers Failure to every request with %s, and never to a stop marker', (_name, cr0) => {
    const { rig, link } = rigged();
    rig.write(0x20, cr0);
    rig.deliver(link, request(1, 1, false), request(2), request(3, 0));
    expect(link.sent).toEqual([answer(1, 15, -1), answer(2, 15, -1)]);
    expect(rig.read(0x100c8)).toBe(0);
  });

  it('answers Failure while an abort of the queue is not acknowledged', () => {
    const { rig, link } = rigged();
    rig.write(0x20, 0x1d);
    rig.write64(0xc0, 0x80_0000_0002n);
    rig.write(0x20, 0x1f);
    rig.deliver(link, request(1));
    expect(rig.read(0x60)).toBe(0x8);
    rig.deliver(link, request(2, 1, false));
    expect(link.sent).toEqual([answer(2, 15, -1)]);
    rig.write(0x64, 0x8);
    rig.deliver(link, request(3, 1, false));
    expect(rig.read(0x60)).toBe(0);
  });

  it('interrupts on Last with LO=1, also when a Last request is lost', () => {
    const { rig, link } = rigged();
    rig.write(0x50, 0x5);
    rig.write(0xdc, 0x80000000);
    rig.write(0x50, 0x7);
    rig.deliver(link, request(0, 1, false));
    expect(rig.interrupts).toEqual([]);
    rig.deliver(link, request(0));
    expect(rig.interrupts).toEqual(['priq']);
    rig.deliver(link, request(1, 1, false), request(1, 1, false), request(2, 1, false));
    rig.deliver(link, request(2));
    expect(rig.interrupts).toEqual(['priq', 'priq']);
  });
});
