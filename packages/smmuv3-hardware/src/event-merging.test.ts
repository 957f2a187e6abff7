import { describe, expect, it } from 'vitest';
import { CDS, EATS, fault, PAGE, read, rigged } from '../test/event-rows.js';
import { Rig } from '../test/rig.js';

describe('merging of events (smmuv3.md 5.3)', () => {
  const MEV = 1n << 19n;

  it('with STE.MEV leaves one record of what differs within the page only, while software has not read it', () => {
    const { rig, link } = rigged({ make: (rig, cds) => rig.ste(0x42, CDS | BigInt(cds) | 0xbn, EATS | MEV) });
    rig.deliver(link, read(), { ...read(), offset: 0x10 }, read());
    expect(rig.events()).toEqual([fault('10')]);
    rig.deliver(link, read());
    expect(rig.events()).toEqual([fault('10')]);
  });

  it('keeps records of another page, access or PASID apart', () => {
    const { rig, link, cds } = rigged({ make: (rig, cds) => rig.ste(0x42, CDS | BigInt(cds) | 0xbn, EATS | MEV) });
    rig.cd(cds, 6, Rig.cd0(2));
    const write = { ...read(), kind: 'write', tag: 2, data: Uint8Array.of(1) } as const;
    rig.deliver(link, read(), read(5, PAGE + 1), write, read(6), read());
    expect(rig.events()).toHaveLength(5);
  });

  it('does not overflow a full queue with a record that is merged', () => {
    const { rig, link } = rigged({ make: (rig, cds) => rig.ste(0x42, CDS | BigInt(cds) | 0xbn, EATS | MEV) });
    rig.deliver(link, ...Array.from({ length: 8 }, (_, n) => read(5, PAGE + n)), read(5, PAGE + 7));
    expect(rig.read(0x100a8)).toBe(8);
  });

  it('without STE.MEV merges nothing', () => {
    const { rig, link } = rigged({ make: () => {} });
    rig.deliver(link, read(), read());
    expect(rig.events()).toHaveLength(2);
  });

  it('never merges stalled records', () => {
    const { rig } = rigged({ make: (rig, cds) => rig.ste(0x42, CDS | BigInt(cds) | 0xbn, EATS | MEV) });
    const other = rigged({ make: (rig, cds) => rig.cd(cds, 5, Rig.cd0(1, 1n << 44n)) });
    expect(rig.events()).toEqual([]);
    const link = other.rig.link(0x42, true);
    other.rig.deliver(link, read(), { ...read(), kind: 'write', tag: 2, data: Uint8Array.of(1) });
    expect(other.rig.events()).toHaveLength(2);
  });
});
