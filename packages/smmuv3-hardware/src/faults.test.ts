import { describe, expect, it } from 'vitest';
import { hex, Rig, type TestLink } from '../test/rig.js';

const PAGE = 0x7f1234567;
const ADDRESS = '0x00007f1234567abc';
const NONE = '0x0000000000000000';

/** An untranslated read of 0x7f1234567abc by SID 0x42, PASID 5 unless told. */
const read = (pasid = 5, page = PAGE) =>
  ({ kind: 'read', at: 0, tag: 1, pasid, page, offset: 0xabc, bytes: 8, witness: 0 }) as const;
const write = (pasid = 5, page = PAGE) =>
  ({ kind: 'write', at: 0, pasid, page, offset: 0xabc, data: Uint8Array.of(1, 2, 3, 4), witness: 0 }) as const;

/** A rig with SID 0x42, whose PASID 5 has ASID 1 and an empty table. */
function bound(dw0 = Rig.cd0(1), capabilities = {}): { rig: Rig; link: TestLink; table: number; root: number } {
  const rig = new Rig(capabilities).enable();
  const table = rig.cdTable(0x42, 6);
  const root = rig.cd(table, 5, dw0);
  return { rig, link: rig.link(0x42), table, root };
}

describe('EventQueue', () => {
  it('writes F_TRANSLATION in the layout of 5.2, and the reader gets an abort', () => {
    const { rig, link } = bound();
    rig.deliver(link, read(), write());
    // The example of 5.2 without Stall and STAG; RnW = 0 for the write.
    expect(rig.events()).toEqual([
      ['0x0000004200005810', '0x0000020800000000', ADDRESS, NONE],
      ['0x0000004200005810', '0x0000020000000000', ADDRESS, NONE],
    ]);
    expect(link.sent).toEqual([{ kind: 'completion', tag: 1, status: 'ca', data: new Uint8Array(0) }]);
    expect(rig.interrupts).toEqual(['eventq']);
  });

  it('writes F_ADDR_SIZE for a page, and for a table, beyond IPS', () => {
    const { rig, link, root } = bound(Rig.cd0(1, 0n, 0x7_0000_0000n)); // IPS = 32 bits
    rig.map(root, PAGE, 0x100000);
    rig.store(root + 8 * 3, 0x1_0000_0003n);
    rig.deliver(link, read(), read(5, 3 * 512 ** 3));
    expect(rig.events().map((record) => record.slice(0, 2))).toEqual([
      ['0x0000004200005811', '0x0000020800000000'],
      ['0x0000004200005811', '0x0000020800000000'],
    ]);
  });

  it('writes F_ACCESS for AF=0, and with AFFD=1 does not', () => {
    const { rig, link, root, table } = bound();
    rig.map(root, PAGE, 0x40100, 0x843n);
    rig.deliver(link, read());
    expect(rig.events()).toEqual([['0x0000004200005812', '0x0000020800000000', ADDRESS, NONE]]);
    rig.cd(table, 6, Rig.cd0(2, 1n << 35n), root);
    rig.deliver(link, read(6));
    expect(rig.events()).toEqual([]);
  });

  it('writes F_PERMISSION for a write to a read-only page', () => {
    const { rig, link, root } = bound();
    rig.map(root, PAGE, 0x40100, 0xcc3n);
    rig.deliver(link, read(), write());
    expect(rig.events()).toEqual([['0x0000004200005813', '0x0000020000000000', ADDRESS, NONE]]);
  });

  it('writes F_PERMISSION for unprivileged access to a privileged page', () => {
    const { rig, link, root } = bound();
    rig.map(root, PAGE, 0x40100, 0xc03n);
    rig.deliver(link, read());
    expect(rig.events()).toEqual([['0x0000004200005813', '0x0000020800000000', ADDRESS, NONE]]);
    expect(rig.translate(0x42, 5, PAGE, 8 + 3)).toBe(0x40100);
  });

  it('writes F_WALK_EABT with CLASS=TT and the address of the descriptor', () => {
    const { rig, link, root } = bound();
    rig.store(root + 8 * Math.floor(PAGE / 512 ** 3), 0x80_0000_0003n);
    rig.deliver(link, read());
    const slot = BigInt(Math.floor(PAGE / 512 ** 2) % 512) * 8n;
    expect(rig.events()).toEqual([['0x000000420000580b', '0x0000010800000000', ADDRESS, hex(0x80_0000_0000n + slot)]]);
  });

  it('writes C_BAD_STREAMID beyond the table only with RECINVSID', () => {
    const { rig } = bound();
    const link = rig.link(0x100);
    rig.deliver(link, read(-1));
    expect(rig.events()).toEqual([['0x0000010000000002', NONE, NONE, NONE]]);
    rig.write(0x20, 0x1e);
    rig.write(0x2c, 0);
    rig.write(0x20, 0x1f);
    rig.deliver(link, read(-1));
    expect(rig.events()).toEqual([]);
  });

  it('writes F_STE_FETCH and F_CD_FETCH with the address that aborted', () => {
    const rig = new Rig();
    rig.enable(0x1e);
    rig.write64(0x80, 0x80_0000_0000n);
    rig.write(0x20, 0x1f);
    rig.deliver(rig.link(0x42), read());
    expect(rig.events()).toEqual([['0x0000004200005803', NONE, NONE, '0x0000008000001080']]);
    const other = bound();
    other.rig.ste(0x43, (6n << 59n) | 0x80_0000_000bn);
    other.rig.deliver(other.rig.link(0x43), read());
    expect(other.rig.events()).toEqual([['0x0000004300005809', NONE, NONE, '0x0000008000000140']]);
  });

  it('writes C_BAD_STE for an invalid STE, and nothing for Config=0', () => {
    const { rig } = bound();
    rig.deliver(rig.link(0x10), read());
    expect(rig.events()).toEqual([['0x0000001000005804', NONE, NONE, NONE]]);
    rig.ste(0x11, 0x1n);
    const link = rig.link(0x11);
    rig.deliver(link, read());
    expect(rig.events()).toEqual([]);
    expect(link.sent).toMatchObject([{ status: 'ca' }]);
  });

  it('writes C_BAD_SUBSTREAMID without SSV, and F_STREAM_DISABLED without SSID', () => {
    const { rig, link, table } = bound();
    rig.deliver(link, read(64), read(-1));
    expect(rig.events()).toEqual([
      ['0x0000004200040008', NONE, NONE, NONE],
      ['0x0000004200000006', NONE, NONE, NONE],
    ]);
    rig.ste(0x43, (6n << 59n) | BigInt(table) | 0xbn, 0x1000_0002n); // S1DSS = SSID0
    rig.deliver(rig.link(0x43), read(0));
    expect(rig.events()).toEqual([['0x0000004300000006', NONE, NONE, NONE]]);
  });

  it('writes C_BAD_CD', () => {
    const { rig, link } = bound();
    rig.deliver(link, read(7));
    expect(rig.events()).toEqual([['0x000000420000780a', NONE, NONE, NONE]]);
  });

  it('writes F_BAD_ATS_TREQ and answers UR where ATS is off', () => {
    const { rig, table } = bound();
    rig.ste(0x43, (6n << 59n) | BigInt(table) | 0xbn, 0n); // EATS = 0
    const link = rig.link(0x43);
    const request = {
      kind: 'translation-request',
      tag: 9,
      pasid: 5,
      page: PAGE,
      count: 1,
      noWrite: true,
      exec: false,
      priv: false,
    } as const;
    rig.deliver(link, request);
    expect(rig.events()).toEqual([['0x0000004300005805', NONE, '0x00007f1234567000', NONE]]);
    expect(link.sent).toMatchObject([{ kind: 'translation-completion', tag: 9, status: 'ur' }]);
  });

  it('writes F_TRANSL_FORBIDDEN for translated traffic with SMMUEN=0, and with ATSCHK=1 and EATS=0', () => {
    const { rig, table, link } = bound();
    rig.ste(0x43, (6n << 59n) | BigInt(table) | 0xbn, 0n);
    const other = rig.link(0x43);
    rig.deliver(other, { ...read(), at: 2 });
    expect(rig.events()).toEqual([['0x0000004300005807', '0x0000000800000000', ADDRESS, NONE]]);
    rig.write(0x20, 0x1e);
    rig.deliver(link, { ...write(), at: 2 });
    expect(rig.events()).toEqual([['0x0000004200005807', NONE, ADDRESS, NONE]]);
  });

  it('writes F_UUT for an address type that no data access has', () => {
    const { rig, link } = bound();
    rig.deliver(link, { ...read(), at: 1 });
    expect(rig.events()).toEqual([['0x0000004200005801', '0x0000000800000000', ADDRESS, NONE]]);
  });

  it('records nothing with CD.R=0, and reads zeros with CD.A=0', () => {
    const { rig, link } = bound(Rig.cd0(1, 0n, 3n << 45n));
    rig.deliver(link, read());
    expect(rig.events()).toEqual([]);
    expect(link.sent).toMatchObject([{ status: 'ok', data: new Uint8Array(8) }]);
    const quiet = bound(Rig.cd0(1, 1n << 14n, 3n << 45n)); // EPD0
    quiet.rig.deliver(quiet.link, read());
    expect(quiet.rig.events()).toEqual([]);
  });

  it('toggles OVFLG when a full queue loses a record, once until it is acknowledged (5.6)', () => {
    const { rig, link } = bound();
    rig.deliver(link, ...new Array(10).fill(read()));
    expect(rig.read(0x100a8)).toBe(0x80000008);
    expect(rig.events()).toHaveLength(8);
    rig.deliver(link, read());
    expect(rig.events()).toHaveLength(1);
    rig.deliver(link, ...new Array(9).fill(read()));
    expect(rig.read(0x100a8) >>> 31).toBe(0);
  });

  it('wraps: twenty records through a queue of eight, with the wrap bit above the index (5.6)', () => {
    const { rig, link } = bound();
    const pages: string[] = [];
    for (let n = 0; n < 20; n += 5) {
      rig.deliver(link, ...[0, 1, 2, 3, 4].map((i) => read(5, n + i)));
      pages.push(...rig.events().map((record) => record[2]));
    }
    expect(pages).toEqual(Array.from({ length: 20 }, (_, n) => hex(BigInt(n) * 0x1000n + 0xabcn)));
    expect([rig.read(0x100a8), rig.read(0x100ac)]).toEqual([4, 4]);
  });

  it('interrupts when the queue stops being empty, not for every record', () => {
    const { rig, link } = bound();
    rig.deliver(link, read(), read());
    expect(rig.interrupts).toEqual(['eventq']);
    rig.events();
    rig.deliver(link, read());
    expect(rig.interrupts).toEqual(['eventq', 'eventq']);
  });

  it('reports an abort of the queue in GERROR, and writes nothing until it is acknowledged (1.6)', () => {
    const { rig, link } = bound();
    rig.write(0x20, 0x1b);
    rig.write64(0xa0, 0x80_0000_0003n);
    rig.write(0x20, 0x1f);
    rig.deliver(link, read());
    expect(rig.read(0x60)).toBe(0x4);
    expect(rig.interrupts).toEqual(['gerror']);
    rig.write(0x20, 0x1b);
    rig.write64(0xa0, BigInt(rig.eventq) | 3n);
    rig.write(0x20, 0x1f);
    rig.deliver(link, read());
    expect(rig.events()).toEqual([]);
    rig.write(0x64, 0x4);
    rig.deliver(link, read());
    expect(rig.events()).toHaveLength(1);
  });
});
