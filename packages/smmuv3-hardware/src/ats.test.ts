import { describe, expect, it } from 'vitest';
import { Rig, type TestLink } from '../test/rig.js';

const PAGE = 0x7f1234567;
const ask = (over: object = {}) => ({
  kind: 'translation-request' as const,
  tag: 9,
  pasid: 5,
  page: PAGE,
  count: 1,
  noWrite: false,
  exec: false,
  priv: false,
  ...over,
});

function rigged() {
  const rig = new Rig().enable();
  const table = rig.cdTable(0x42, 6);
  const root = rig.cd(table, 5, Rig.cd0(0x12));
  return { rig, table, root, link: rig.link(0x42) };
}
/** The answer to one request: its status, and the entries as 64-bit words. */
function answer(rig: Rig, link: TestLink, over: object = {}): [string, ...string[]] {
  rig.deliver(link, ask(over));
  const tlp = link.sent.pop();
  if (tlp?.kind !== 'translation-completion') throw new Error('no completion');
  const words: string[] = [];
  for (let i = 0; i < tlp.entries.length; i += 2) {
    words.push(((BigInt(tlp.entries[i + 1]) << 32n) | BigInt(tlp.entries[i])).toString(16));
  }
  return [tlp.status, ...words];
}

describe('TranslationRequests', () => {
  it('grants what the table allows, Exe only when asked for', () => {
    const { rig, root, link } = rigged();
    rig.map(root, PAGE, 0x40123);
    rig.map(root, PAGE + 1, 0x40124, 0xcc3n);
    rig.map(root, PAGE + 2, 0x40125, (1n << 54n) | 0xc43n);
    expect(answer(rig, link)).toEqual(['ok', '40123003']);
    expect(answer(rig, link, { noWrite: true })).toEqual(['ok', '40123003']);
    expect(answer(rig, link, { exec: true })).toEqual(['ok', '4012300b']);
    expect(answer(rig, link, { page: PAGE + 1 })).toEqual(['ok', '40124001']);
    expect(answer(rig, link, { page: PAGE + 2, exec: true })).toEqual(['ok', '40125003']);
    expect(rig.events()).toEqual([]);
  });

  it('answers R=W=0 without an event for translation, access and size faults', () => {
    const { rig, root, link } = rigged();
    rig.map(root, PAGE + 1, 0x40124, 0x843n);
    expect(answer(rig, link)).toEqual(['ok', '0']);
    expect(answer(rig, link, { page: PAGE + 1 })).toEqual(['ok', '0']);
    expect(answer(rig, link, { page: 2 ** 40 })).toEqual(['ok', '0']);
    expect(answer(rig, link, { page: 2 ** 40, priv: true })).toEqual(['ok', '10']);
    expect(rig.events()).toEqual([]);
  });

  it('grants nothing for execute-only pages, and privilege what the tables give it', () => {
    const { rig, root, link } = rigged();
    rig.map(root, PAGE, 0x40123, 0xc03n);
    expect(answer(rig, link, { exec: true })).toEqual(['ok', '0']);
    expect(answer(rig, link, { priv: true })).toEqual(['ok', '40123013']);
  });

  it('gives the size of a block, and single pages when several were asked for', () => {
    const { rig, root, link } = rigged();
    rig.map(root, 0x40000, 0x40200, 0xc41n, 2);
    expect(answer(rig, link, { page: 0x40005 })).toEqual(['ok', '402ff803']);
    expect(answer(rig, link, { page: 0x401ff, count: 2 })).toEqual(['ok', '403ff003', '0']);
  });

  it('answers CA without an event for configuration and fetch errors', () => {
    const { rig, root, link } = rigged();
    rig.store(root + 8, 0x80_0000_0003n);
    expect(answer(rig, link, { pasid: 7 })).toEqual(['ca']); // C_BAD_CD
    expect(answer(rig, link, { pasid: 64 })).toEqual(['ca']); // C_BAD_SUBSTREAMID
    expect(answer(rig, link, { pasid: -1 })).toEqual(['ca']); // F_STREAM_DISABLED
    expect(answer(rig, link, { page: 512 ** 3 })).toEqual(['ca']); // F_WALK_EABT
    expect(answer(rig, rig.link(0x43))).toEqual(['ca']); // C_BAD_STE
    expect(answer(rig, rig.link(0x143))).toEqual(['ca']); // C_BAD_STREAMID
    expect(rig.events()).toEqual([]);
  });

  it('answers UR: with an event for SMMUEN=0 and bypass, without for Config=0', () => {
    const { rig, link } = rigged();
    rig.ste(0x44, 0x9n, 0x1000_0000n); // Config = bypass: EATS is ignored
    expect(answer(rig, rig.link(0x44))).toEqual(['ur']);
    expect(rig.events()).toHaveLength(1);
    rig.ste(0x45, 0x1n, 0x1000_0000n);
    expect(answer(rig, rig.link(0x45))).toEqual(['ur']);
    expect(rig.events()).toEqual([]);
    rig.write(0x20, 0x1e);
    expect(answer(rig, link)).toEqual(['ur']);
    expect(rig.events()).toHaveLength(1);
  });

  it('gives identity for S1DSS=bypass without a PASID', () => {
    const { rig, table } = rigged();
    rig.ste(0x46, (6n << 59n) | BigInt(table) | 0xbn, 0x1000_0001n);
    expect(answer(rig, rig.link(0x46), { pasid: -1 })).toEqual(['ok', '7f1234567003']);
  });
});

describe('DataAccesses', () => {
  const data = Uint8Array.from({ length: 8 }, (_, i) => i + 1);

  it('writes and reads memory, translated and not', () => {
    const { rig, root, link } = rigged();
    const frame = rig.frames(0) / 4096;
    rig.map(root, PAGE, frame);
    rig.deliver(link, { kind: 'write', at: 0, pasid: 5, page: PAGE, offset: 0x10, data, witness: 0 });
    expect(rig.load(frame * 4096 + 0x10)).toBe(0x0807060504030201n);
    rig.deliver(link, { kind: 'write', at: 2, pasid: -1, page: frame, offset: 0xffc, data, witness: 0 });
    // What lies beyond the page is not written.
    expect(rig.load(frame * 4096 + 0xff8)).toBe(0x0403020100000000n);
    rig.deliver(link, { kind: 'read', at: 2, tag: 3, pasid: -1, page: frame, offset: 0x10, bytes: 8, witness: 0 });
    rig.deliver(link, { kind: 'read', at: 0, tag: 4, pasid: 5, page: PAGE, offset: 0x12, bytes: 4, witness: 0 });
    expect(link.sent).toEqual([
      { kind: 'completion', tag: 3, status: 'ok', data },
      { kind: 'completion', tag: 4, status: 'ok', data: Uint8Array.of(3, 4, 5, 6) },
    ]);
  });

  it('passes translated traffic of any stream with ATSCHK=0, and aborts it silently for broken STEs with ATSCHK=1 (5.3)', () => {
    const { rig } = rigged();
    const frame = rig.frames(0) / 4096;
    const link = rig.link(0x50);
    const write = { kind: 'write', at: 2, pasid: -1, page: frame, offset: 0, data, witness: 0 } as const;
    rig.deliver(link, write);
    expect(rig.load(frame * 4096)).toBe(0n);
    rig.write(0x20, 0x0f);
    rig.deliver(link, write);
    expect(rig.load(frame * 4096)).toBe(0x0807060504030201n);
    expect(rig.events()).toEqual([]);
  });

  it('lets traffic through untranslated while SMMUEN=0, until GBPA.ABORT (1.5)', () => {
    const { rig, link } = rigged();
    rig.write(0x20, 0x1e);
    const frame = rig.frames(0) / 4096;
    const read = { kind: 'read', at: 0, tag: 1, pasid: -1, page: frame, offset: 0, bytes: 4, witness: 0 } as const;
    rig.deliver(link, read);
    rig.write(0x44, 0x80101000);
    rig.deliver(link, read);
    expect(link.sent).toMatchObject([{ status: 'ok' }, { status: 'ca' }]);
    expect(rig.events()).toEqual([]);
  });

  it('tells the oracles the frame and its generation when it was translated (INV-1)', () => {
    const { rig, root, link } = rigged();
    const frame = rig.frames(0) / 4096;
    rig.map(root, PAGE, frame);
    rig.translate(0x42, 5, PAGE);
    rig.bus.frames.free(frame);
    const seen: number[][] = [];
    rig.kernel.observer = Object.assign(Object.create(rig.kernel.observer) as typeof rig.kernel.observer, {
      dma: (_device: string, stream: number, pasid: number, pfn: number, witness: number) =>
        seen.push([stream, pasid, pfn, witness]),
    });
    rig.deliver(link, { kind: 'write', at: 0, pasid: 5, page: PAGE, offset: 0, data, witness: 0 });
    rig.deliver(link, { kind: 'write', at: 2, pasid: 5, page: frame, offset: 0, data, witness: 77 });
    expect(seen).toEqual([
      [0x42, 5, frame, 1],
      [0x42, 5, frame, 77],
    ]);
  });
});
