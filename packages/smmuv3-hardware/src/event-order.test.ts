import { describe, expect, it } from 'vitest';
import { ask, CDS, configuration, EATS, NONE, PAGE, ROWS, read, rigged } from '../test/event-rows.js';
import { Rig } from '../test/rig.js';

const SYNC = 0x0fc02046n;
const NAMED = ROWS.map((row) => {
  const { step, what, before } = row;
  return [`${step}: ${what}${before === undefined ? '' : `, though ${before}`}`, row] as const;
});

describe('the order of conditions (smmuv3.md 5.3)', () => {
  it.each(NAMED)('step %s', (_name, row) => {
    const { rig, link } = rigged(row);
    rig.deliver(link, read(row.pasid, row.page));
    expect(rig.events()).toEqual(row.record === null ? [] : [row.record]);
    expect(link.sent).toEqual([{ kind: 'completion', tag: 1, status: 'ca', data: new Uint8Array(0) }]);
  });

  it.each(NAMED)('records nothing for a prefetch: step %s', (_name, row) => {
    const { rig } = rigged(row);
    const sid = BigInt(row.sid ?? 0x42) << 32n;
    const pasid = row.pasid ?? 5;
    const who = sid | (pasid < 0 ? 0n : 0x800n | (BigInt(pasid) << 12n));
    rig.command(who | 0x01n, 0n, who | 0x02n, BigInt(row.page ?? PAGE) << 12n, SYNC, 0n);
    expect(rig.events()).toEqual([]);
    expect([rig.cons, rig.error]).toEqual([3, 0]);
  });

  it('step 1: SMMUEN=0: GBPA bypasses, or aborts silently', () => {
    const { rig, link } = rigged({ make: () => {} });
    rig.write(0x20, 0x1e);
    rig.store(0x40100ab8, 0x0807060504030201n);
    rig.deliver(link, read(5, 0x40100));
    expect(link.sent).toMatchObject([{ status: 'ok' }]);
    rig.write(0x44, 0x80100000);
    rig.deliver(link, read(5, 0x40100));
    expect(link.sent).toMatchObject([{ status: 'ok' }, { status: 'ca' }]);
    expect(rig.events()).toEqual([]);
  });

  it('step 1: SMMUEN=0: F_BAD_ATS_TREQ and UR for a translation request, F_TRANSL_FORBIDDEN for translated traffic', () => {
    const { rig, link } = rigged({ make: () => {} });
    rig.write(0x20, 0x1e);
    rig.deliver(link, ask(), { ...read(5, 0x40100), at: 2 });
    expect(rig.events()).toEqual([
      ['0x0000004200005805', NONE, '0x00007f1234567000', NONE],
      ['0x0000004200005807', '0x0000000800000000', '0x0000000040100abc', NONE],
    ]);
    expect(link.sent).toMatchObject([{ status: 'ur' }, { status: 'ca' }]);
  });

  it('records C_BAD_STREAMID only with CR2.RECINVSID', () => {
    const { rig } = rigged({ make: () => {} });
    rig.write(0x20, 0);
    rig.write(0x2c, 0);
    rig.write(0x20, 0x1f);
    const link = rig.link(0x100);
    rig.deliver(link, read());
    expect(rig.events()).toEqual([]);
    expect(link.sent).toMatchObject([{ status: 'ca' }]);
  });

  it.each([
    ['ATSCHK=1 and EATS=0', 0x1f, (rig: Rig, cds: number) => rig.ste(0x42, CDS | BigInt(cds) | 0xbn), true, 'ca'],
    ['ATSCHK=1 and Config=4', 0x1f, (rig: Rig) => rig.ste(0x42, 0x9n, EATS), true, 'ca'],
    ['ATSCHK=1 and Config=0', 0x1f, (rig: Rig) => rig.ste(0x42, 0x1n), false, 'ca'],
    ['ATSCHK=1 and V=0', 0x1f, (rig: Rig) => rig.ste(0x42, 0n), false, 'ca'],
    ['ATSCHK=1 and an illegal STE', 0x1f, (rig: Rig) => rig.ste(0x42, 0xdn), false, 'ca'],
    ['ATSCHK=1 and EATS=1', 0x1f, () => {}, false, 'ok'],
    ['ATSCHK=0 and EATS=0', 0x0f, (rig: Rig, cds: number) => rig.ste(0x42, CDS | BigInt(cds) | 0xbn), false, 'ok'],
    ['ATSCHK=0 and V=0', 0x0f, (rig: Rig) => rig.ste(0x42, 0n), false, 'ok'],
  ])('translated traffic with %s', (_name, cr0, make, forbidden, status) => {
    const { rig, link } = rigged({ make });
    rig.write(0x20, cr0);
    rig.deliver(link, { ...read(5, 0x40100), at: 2 });
    const record = ['0x0000004200005807', '0x0000000800000000', '0x0000000040100abc', NONE];
    expect(rig.events()).toEqual(forbidden ? [record] : []);
    expect(link.sent).toMatchObject([{ status }]);
  });

  it('records a missing or illegal STE of translated traffic with REC_CFG_ATS, and Config=0 never', () => {
    for (const [dw0, sid, record] of [
      [0n, 0x42, [configuration('0x0000004200005804')]],
      [0xdn, 0x42, [configuration('0x0000004200005804')]],
      [0n, 0x100, [configuration('0x0000010000005802')]],
      [1n, 0x42, []],
    ] as const) {
      const { rig } = rigged({ make: (rig) => rig.ste(0x42, dw0), capabilities: { atsRecordsErrors: true } });
      rig.write(0x20, 0);
      rig.write(0x2c, 0xa);
      rig.write(0x20, 0x1f);
      rig.deliver(rig.link(sid), { ...read(5, 0x40100), at: 2 });
      expect(rig.events()).toEqual(record);
    }
  });

  it('aborts for configuration errors whatever CD.A and R say, and records them', () => {
    const { rig, link } = rigged({ make: (rig, cds) => rig.cd(cds, 5, Rig.cd0(1, 1n << 15n, 3n << 45n)) });
    rig.deliver(link, read());
    expect(rig.events()).toEqual([configuration('0x000000420000580a')]);
    expect(link.sent).toMatchObject([{ status: 'ca' }]);
  });
});
