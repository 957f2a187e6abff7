import { describe, expect, it } from 'vitest';
import { ask, CDS, EATS, HOLE, NONE, PAGE, rigged, slot } from '../test/event-rows.js';
import { Rig } from '../test/rig.js';

describe('what an ATS translation request finds (smmuv3.md 5.3)', () => {
  const answer = (status: string, lo?: number, hi = 0) => ({
    status,
    entries: lo === undefined ? new Uint32Array(0) : Uint32Array.of(lo, hi),
  });
  const bad = (rig: Rig, cds: number): number => rig.cd(cds, 5, Rig.cd0(1, 1n << 15n));

  it.each([
    ['EATS=0', (rig: Rig, cds: number) => rig.ste(0x42, CDS | BigInt(cds) | 0xbn), 5, answer('ur'), true],
    ['Config=4', (rig: Rig) => rig.ste(0x42, 0x9n, EATS), 5, answer('ur'), true],
    [
      'EATS=3, which is DPT',
      (rig: Rig, cds: number) => rig.ste(0x42, CDS | BigInt(cds) | 0xbn, 3n << 28n),
      5,
      answer('ur'),
      true,
    ],
    ['Config=0', (rig: Rig) => rig.ste(0x42, 0x1n), 5, answer('ur'), false],
    ['an STE with V=0', (rig: Rig) => rig.ste(0x42, 0n), 5, answer('ca'), false],
    ['an illegal STE', (rig: Rig) => rig.ste(0x42, 0xdn), 5, answer('ca'), false],
    ['an SSID beyond S1CDMax', () => {}, 64, answer('ca'), false],
    ['F_STREAM_DISABLED', () => {}, -1, answer('ca'), false],
    ['a CD fetch abort', (rig: Rig) => rig.ste(0x42, CDS | HOLE | 0xbn, EATS), 5, answer('ca'), false],
    ['an illegal CD', bad, 5, answer('ca'), false],
    [
      'a walk abort',
      (rig: Rig, _cds: number, root: number) => rig.store(root + slot(0), HOLE | 3n),
      5,
      answer('ca'),
      false,
    ],
    ['F_TRANSLATION', () => {}, 5, answer('ok', 0), false],
    [
      'F_ACCESS',
      (rig: Rig, _cds: number, root: number) => rig.map(root, PAGE, 0x40100, 0x843n),
      5,
      answer('ok', 0),
      false,
    ],
    [
      'F_ADDR_SIZE',
      (rig: Rig, cds: number) => rig.map(rig.cd(cds, 5, Rig.cd0(1, 0n, 0x7_0000_0000n)), PAGE, 2 ** 20),
      5,
      answer('ok', 0),
      false,
    ],
    [
      'no right at all',
      (rig: Rig, _cds: number, root: number) => rig.map(root, PAGE, 0x40100, 0xc03n),
      5,
      answer('ok', 0),
      false,
    ],
    [
      'reduced rights',
      (rig: Rig, _cds: number, root: number) => rig.map(root, PAGE, 0x40100, 0xcc3n),
      5,
      answer('ok', 0x40100001),
      false,
    ],
    [
      'the page',
      (rig: Rig, _cds: number, root: number) => rig.map(root, PAGE, 0x40100),
      5,
      answer('ok', 0x40100003),
      false,
    ],
  ])('%s', (_name, make, pasid, completion, event) => {
    const { rig, link } = rigged({ make });
    rig.deliver(link, ask(pasid));
    expect(link.sent).toMatchObject([completion]);
    expect(rig.events()).toEqual(event ? [['0x0000004200005805', NONE, '0x00007f1234567000', NONE]] : []);
  });

  it('a SID outside the table', () => {
    const { rig } = rigged({ make: () => {} });
    const link = rig.link(0x100);
    rig.deliver(link, ask());
    expect(link.sent).toMatchObject([answer('ca')]);
    expect(rig.events()).toEqual([]);
  });
});
