import { describe, expect, it } from 'vitest';
import { Rig, SID, type TestLink } from '../test/rig.js';

const PAGE = 0x7f0000001;
const GAITS = ['atomic', 'stepwise'] as const;
const read = (over: object = {}) =>
  ({ kind: 'read', at: 0, tag: 1, pasid: 5, page: PAGE, offset: 8, bytes: 4, witness: 0, ...over }) as const;
const write = (over: object = {}) =>
  ({
    kind: 'write',
    at: 0,
    pasid: 5,
    page: PAGE,
    offset: 8,
    data: Uint8Array.of(1, 2, 3, 4),
    witness: 0,
    ...over,
  }) as const;

function rigged(capabilities = {}) {
  const rig = new Rig(capabilities).enable();
  const directory = rig.context();
  const root = rig.pasid(directory, 5);
  const frame = rig.frames(0) / 4096;
  return { rig, directory, root, frame, link: rig.link() };
}
/** What a read came to: `[status, bytes…]`. */
function value(link: TestLink): (string | number)[] {
  const tlp = link.sent.pop();
  return tlp?.kind === 'completion' ? [tlp.status, ...tlp.data] : ['nothing'];
}

describe.each(GAITS)('DataAccesses, %s', (gait) => {
  it('reads and writes memory through the tables', () => {
    const { rig, root, frame, link } = rigged({ gait });
    rig.map(root, PAGE, frame);
    rig.deliver(link, write(), read());
    expect(value(link)).toEqual(['ok', 1, 2, 3, 4]);
    expect(rig.load(frame * 4096 + 8)).toBe(0x04030201n);
    rig.deliver(link, write({ tag: 3 }));
    expect(value(link)).toEqual(['ok']);
  });

  it('records the golden fault: read, first-stage not present, and answers UR (5.3)', () => {
    const { rig, link } = rigged({ gait });
    rig.deliver(link, read());
    expect(value(link)).toEqual(['ur']);
    expect(rig.faults()).toEqual([['0x00007f0000001000', '0xc000057180000100']]);
    rig.deliver(link, write());
    expect(rig.faults()).toEqual([['0x00007f0000001000', '0x8000057180000100']]);
    expect(link.sent).toEqual([]);
  });

  it('records nothing while the PASID entry is P=0 with FPD=1, and goes on refusing (VTD-20, G-V)', () => {
    const { rig, directory, link } = rigged({ gait });
    rig.store(rig.pasidAt(directory, 5), 2n, 0n, 0n);
    rig.deliver(link, read(), write());
    expect([value(link), rig.faults()]).toEqual([['ur'], []]);
  });

  it('records a write to a page that is read-only: 0x85', () => {
    const { rig, root, frame, link } = rigged({ gait });
    rig.map(root, PAGE, frame, 5n);
    rig.deliver(link, write());
    expect(rig.faults()).toEqual([['0x00007f0000001000', '0x8000058580000100']]);
  });

  it('lets privileged requests reach supervisor pages where SRE=1, and records 0x5d with PRIV otherwise (VTD-42)', () => {
    const { rig, directory, root, frame, link } = rigged({ gait });
    rig.map(root, PAGE, frame, 0x63n);
    rig.deliver(link, write({ priv: true }));
    // EXE and PRIV are bits 94 and 93.
    expect(rig.faults().map(([, qw1]) => qw1)).toEqual(['0x8000055da0000100']);
    rig.pasid(directory, 5, 0x49n, 0x80_0001n, root, 0x11n);
    rig.invalidate([0x37n]);
    rig.deliver(link, write({ priv: true }), read({ priv: true }));
    expect(value(link)).toEqual(['ok', 1, 2, 3, 4]);
    rig.deliver(link, read());
    expect([value(link), rig.faults().map(([, qw1]) => qw1)]).toEqual([['ur'], ['0xc000058180000100']]);
  });

  it('lets translated requests through if DTE=1, and records 0x44 with AT=2 otherwise', () => {
    const { rig, directory, frame, link } = rigged({ gait });
    rig.deliver(link, write({ at: 2, page: frame, pasid: -1 }), read({ at: 2, page: frame, pasid: -1 }));
    expect(value(link)).toEqual(['ok', 1, 2, 3, 4]);
    rig.store(rig.contextAt(SID), BigInt(directory) | 0x419n);
    rig.invalidate([0x11n]);
    rig.deliver(link, read({ at: 2, page: frame, pasid: -1 }));
    expect(value(link)).toEqual(['ur']);
    expect(rig.faults().map(([, qw1]) => qw1)).toEqual(['0xe000004400000100']);
  });

  it('lets translated requests of legacy mode through with TT=1, and records 0x0d otherwise', () => {
    const rig = new Rig({ gait }).enable(0);
    const root = rig.legacy();
    const frame = rig.frames(0) / 4096;
    const link = rig.link();
    rig.deliver(link, read({ at: 2, page: frame, pasid: -1 }));
    expect(value(link)).toEqual(['ok', 0, 0, 0, 0]);
    rig.legacy(SID, 7, 0, root);
    rig.invalidate([0x11n]);
    rig.deliver(link, read({ at: 2, page: frame, pasid: -1 }));
    expect(value(link)).toEqual(['ur']);
    expect(rig.faults().map(([, qw1]) => qw1.slice(8, 10))).toEqual(['0d']);
  });

  it('refuses translated requests, and passes untranslated ones without PASID, while translation is off', () => {
    const { rig, frame, link } = rigged({ gait });
    rig.command(0, 0x0400_0000);
    rig.deliver(link, read({ at: 2, page: frame, pasid: -1 }));
    expect(value(link)).toEqual(['ur']);
    rig.deliver(link, write({ page: frame, pasid: -1 }), read({ page: frame, pasid: -1 }));
    expect(value(link)).toEqual(['ok', 1, 2, 3, 4]);
    rig.deliver(link, read());
    expect([value(link), rig.faults()]).toEqual([['ur'], []]);
  });

  it('takes untranslated writes without PASID to the interrupt range for interrupts (2.13), and refuses reads of it', () => {
    const { rig, link } = rigged({ gait });
    const got: number[] = [];
    rig.bus.claim(0xfee0_0000, 0x10_0000, {
      read: () => undefined,
      write: (offset, _bytes, lo) => {
        got.push(offset, lo);
      },
    });
    rig.deliver(link, write({ pasid: -1, page: 0xfee01, offset: 0, data: Uint8Array.of(0x31, 0, 0, 0) }));
    expect(got).toEqual([0x1000, 0x31]);
    rig.deliver(link, read({ pasid: -1, page: 0xfee01 }));
    expect([value(link), rig.faults()]).toEqual([['ur'], []]);
  });

  it('answers UR where no memory is, and loses posted writes there', () => {
    const { rig, root, link } = rigged({ gait });
    rig.map(root, PAGE, 0x8000_0000);
    rig.deliver(link, write(), read());
    expect(value(link)).toEqual(['ur']);
    rig.deliver(link, write({ tag: 3 }));
    expect(value(link)).toEqual(['ur']);
    expect(rig.faults()).toEqual([]);
  });

  it('keeps an access within its page, and does nothing for no bytes', () => {
    const { rig, root, frame, link } = rigged({ gait });
    rig.map(root, PAGE, frame);
    rig.deliver(link, write({ offset: 4092, data: new Uint8Array(64).fill(7) }), read({ offset: 4092, bytes: 64 }));
    expect(value(link)).toEqual(['ok', 7, 7, 7, 7]);
    rig.deliver(link, write({ data: new Uint8Array(0), page: 1 }));
    expect(rig.faults()).toEqual([]);
    rig.deliver(link, read({ at: 3 }), read({ at: 1 }));
    expect([value(link), value(link)]).toEqual([['ur'], ['ur']]);
  });
});
