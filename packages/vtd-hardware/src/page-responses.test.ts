import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';

const answer = (code: number, pasid = 5, prgi = 7) => ({ kind: 'prg-response', pasid, prgi, code });

describe('PageResponses', () => {
  it('sends what the golden vectors of scalable mode say (3.9), and any code as it stands (D-5)', () => {
    const rig = new Rig().enable();
    const link = rig.link();
    rig.invalidate(
      [0x0000000501000019n, 0x38n],
      [0x0000000501001019n, 0x38n],
      [0x0000000501002019n, 0x38n],
      [0x000000050100f019n, 0x38n],
      // Without PP; LPIG is tolerated.
      [0x0000000501000009n, 0x3cn],
    );
    expect(link.sent).toEqual([answer(0), answer(1), answer(2), answer(15), answer(0, -1)]);
  });

  it('sends what the golden vectors of the extended mode say (3.10), and no message for a stream response (3.11)', () => {
    const rig = new Rig({ ecs: true }).enable(2);
    const link = rig.link();
    rig.invalidate([0x0000000501000019n, 0x0380000000000001n], [0x038000000100005an, 0x00007f0000001000n]);
    expect([link.sent, rig.iqei, rig.head]).toEqual([[answer(1)], -1, 32]);
  });

  it('loses answers to devices that are not there', () => {
    const rig = new Rig().enable();
    rig.invalidate([0x0000000505550019n, 0x38n], rig.wait(0));
    expect([rig.statusOf(0), rig.iqei]).toEqual([2, -1]);
  });

  it('takes private data only where devices send it (D-3): a request of its own is no message to a PCI Express function', () => {
    const rig = new Rig({ privateData: true }).enable();
    const link = rig.link();
    rig.invalidate([0x0000000501000039n, 0x3cn, 1n, 2n], [0x0000000501000039n, 0x38n, 1n, 2n]);
    expect([link.sent, rig.iqei]).toEqual([[answer(0)], -1]);
    expect(rig.verdict(0x0000000501000019n, 0x3cn, 1n)).toBe(4);
    const later = new Rig().enable();
    expect(later.verdict(0x0000000501000039n, 0x3cn)).toBe(4);
  });
});
