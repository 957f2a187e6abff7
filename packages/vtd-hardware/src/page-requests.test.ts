import { describe, expect, it } from 'vitest';
import { hex, Rig, SID } from '../test/rig.js';

const PAGE = 0x7f0000001;
const request = (prgi = 7, perm = 3, last = true, pasid = 5, page = PAGE) =>
  ({ kind: 'page-request', pasid, prgi, page, perm, last }) as const;
const answer = (prgi: number, code: number, pasid = 5) => ({ kind: 'prg-response', pasid, prgi, code });

/** The requester of the examples with a valid context entry. */
function rigged(capabilities = {}, flags?: bigint) {
  const rig = new Rig(capabilities).enable();
  const directory = rig.context(SID, flags);
  return { rig, directory, link: rig.link() };
}
const entries = (rig: Rig, count: number, words = 2) =>
  Array.from({ length: count }, (_, i) =>
    Array.from({ length: words }, (_, w) => hex(rig.load(rig.prq + i * words * 8 + w * 8))),
  );
const entries32 = (rig: Rig, count: number) =>
  Array.from({ length: count }, (_, i) => [0, 8, 16, 24].map((at) => hex(rig.load(rig.prq + i * 32 + at))));

describe.each(['atomic', 'stepwise'] as const)('PageRequests, %s', (gait) => {
  it('writes the golden vectors: a request, and a stop marker', () => {
    const { rig, link } = rigged({ gait });
    rig.deliver(link, request(), request(7, 0, true, 5, 0));
    expect(entries32(rig, 2)).toEqual([
      ['0x0000000501000101', '0x00007f000000103f', '0x0000000000000000', '0x0000000000000000'],
      ['0x0000000501000101', '0x000000000000003c', '0x0000000000000000', '0x0000000000000000'],
    ]);
    expect([rig.read(0xc8), rig.read(0xdc), rig.interrupts]).toEqual([0x40, 1, ['page-request']]);
    expect(link.sent).toEqual([]);
  });

  it('writes execute and privileged wishes with a PASID only, and a request without PASID (4.1)', () => {
    const { rig, link } = rigged({ gait });
    rig.deliver(link, request(0x1ff, 15), request(1, 13, false, -1));
    expect(entries32(rig, 2).map(([qw0, qw1]) => [qw0, qw1])).toEqual([
      ['0x0030000501000101', '0x00007f0000001fff'],
      ['0x0000000001000001', '0x00007f0000001009'],
    ]);
  });

  it('writes page numbers of 52 bits (VTD-34), and cuts numbers that no field can hold', () => {
    const { rig, link } = rigged({ gait });
    rig.deliver(link, request(0x3ff, 1, false, 5, 2 ** 52 - 1));
    expect(entries32(rig, 1)[0][1]).toBe('0xfffffffffffffff9');
  });

  it('raises the event at 0 to 1 of PPR only, and again after PPR is cleared (4.5, L58)', () => {
    const { rig, link } = rigged({ gait });
    rig.deliver(link, request(), request());
    expect(rig.interrupts).toEqual(['page-request']);
    rig.write(0xdc, 1);
    rig.deliver(link, request());
    expect(rig.interrupts).toEqual(['page-request', 'page-request']);
  });

  it('may be made to interrupt regardless: the lenient hardware of L58 (ppr-lenient-hardware)', async () => {
    const { PageRequests } = await import('./index.js');
    class Lenient extends PageRequests {
      override signals(): boolean {
        return true;
      }
    }
    const rig = new Rig({ gait }, {}, { PageRequests: Lenient }).enable();
    rig.context();
    const link = rig.link();
    rig.deliver(link, request());
    rig.deliver(link, request());
    expect(rig.interrupts.length).toBe(2);
  });

  it('holds the event while PECTL.IM=1, and sends it when IM is cleared', () => {
    const { rig, link } = rigged({ gait });
    rig.write(0xe0, 0x8000_0000);
    rig.deliver(link, request());
    expect([rig.read(0xe0) >>> 0, rig.interrupts]).toEqual([0xc000_0000, []]);
    rig.write(0xe0, 0);
    rig.settle();
    expect([rig.read(0xe0), rig.interrupts]).toEqual([0, ['page-request']]);
  });

  it('loses what comes to a full queue: PRO, and Success to the last of each group (4.5, VTD-33)', () => {
    const { rig, link } = rigged({ gait });
    for (let n = 0; n < 127; n++) rig.deliver(link, request(n, 1, false));
    expect([rig.read(0xc8), rig.read(0xdc)]).toEqual([127 * 32, 1]);
    rig.write(0xdc, 1);
    rig.interrupts.length = 0;
    rig.deliver(link, request(200, 1, false));
    // PPR was clear: the overflow is an event.
    expect([rig.read(0xdc), rig.interrupts, link.sent]).toEqual([2, ['page-request'], []]);
    rig.deliver(link, request(201), request(202, 0), request(203, 0, true, -1));
    expect(link.sent).toEqual([answer(201, 0), answer(203, 0, -1)]);
    // With room, but PRO set: nothing is queued.
    rig.write(0xc0, 32);
    rig.deliver(link, request(204));
    expect([rig.read(0xc8), link.sent.length]).toEqual([127 * 32, 3]);
    rig.write(0xdc, 2);
    rig.deliver(link, request(205));
    expect([rig.read(0xc8), rig.read(0xdc), link.sent.length]).toEqual([0, 1, 3]);
    expect(rig.interrupts).toEqual(['page-request', 'page-request']);
  });

  it('gives no event for an overflow while PPR is set', () => {
    const { rig, link } = rigged({ gait });
    rig.write(0xc0, 64);
    for (let n = 0; n < 3; n++) rig.deliver(link, request(n));
    expect([rig.read(0xdc), rig.interrupts]).toEqual([3, ['page-request']]);
  });

  it('has a ring of 4096 << PQS bytes', () => {
    const { rig, link } = rigged({ gait });
    const big = rig.frames(4);
    rig.write64(0xd0, BigInt(big) | 4n);
    rig.write64(0xc0, 0xffe0n);
    rig.write64(0xc8, 0xffc0n);
    rig.write64(0xc0, 0x20n);
    rig.deliver(link, request(1), request(2));
    expect([rig.read(0xc8), hex(rig.load(big + 0xffc0)), hex(rig.load(big + 0xffe0))]).toEqual([
      0,
      '0x0000000501000101',
      '0x0000000501000101',
    ]);
  });

  it.each([
    ['PRE=0: 0x47', 0xdn, {}, 0, '47'],
    ['PASIDE=0: 0x45', 0x15n, {}, 0, '45'],
    ['no context entry: 0x41', 0n, {}, 0, '41'],
    ['PASIDs that the directory does not hold: 0x46', 0x1dn, {}, 0x8000, '46'],
  ])(
    'records a request that is refused and answers Response Failure: %s',
    (_name, flags, capabilities, pasid, reason) => {
      const { rig, link } = rigged({ gait, ...capabilities }, flags);
      const id = pasid || 5;
      rig.deliver(link, request(7, 3, true, id), request(7, 0, true, id), request(8, 1, false, id));
      expect(link.sent).toEqual([answer(7, 15, id)]);
      const faults = rig.faults();
      expect(faults[0][0]).toBe('0x00007f0000001000');
      // T2=1, T1=0: a page request.
      expect(faults[0][1].slice(-10, -4)).toMatch(new RegExp(`${reason}9`));
      expect(rig.read(0xc8)).toBe(0);
    },
  );

  it('records 0x32 in legacy mode, and nothing with FPD=1 of a qualified reason', () => {
    const legacy = new Rig({ gait }).enable(0);
    legacy.legacy();
    const link = legacy.link();
    legacy.deliver(link, request());
    expect([legacy.faults().length, link.sent]).toEqual([1, [answer(7, 15)]]);
    const { rig, link: quiet } = rigged({ gait }, 0xfn); // P, FPD, DTE, PASIDE
    rig.deliver(quiet, request());
    expect([rig.faults(), quiet.sent]).toEqual([[], [answer(7, 15)]]);
  });

  it('answers Response Failure without a record while there is no queue, no translation or no ECAP.PRS', () => {
    const { rig, link } = rigged({ gait });
    rig.write64(0xd0, 0n);
    rig.deliver(link, request());
    rig.write64(0xd0, 2n ** 40n);
    rig.deliver(link, request());
    rig.write64(0xd0, BigInt(rig.prq));
    rig.command(0, 0x0400_0000);
    rig.deliver(link, request(), request(1, 1, false));
    expect([rig.faults(), link.sent]).toEqual([[], [answer(7, 15), answer(7, 15), answer(7, 15)]]);
    const { rig: without, link: other } = rigged({ gait, prs: false, pds: false }, 0xdn);
    without.deliver(other, request());
    expect([without.faults(), other.sent]).toEqual([[], [answer(7, 15)]]);
  });

  it('forgets its own translation of the page before it reports the request (4.5 step 4)', () => {
    const { rig, directory, link } = rigged({ gait });
    const root = rig.pasid(directory, 5);
    rig.map(root, PAGE, 0x40100, 5n);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
    rig.map(root, PAGE, 0x40200);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
    rig.deliver(link, request());
    expect(rig.translate(SID, 5, PAGE, 2)).toBe(0x40200);
  });

  it('keeps it with cacheReadOnly, until it is invalidated (L41)', () => {
    const { rig, directory, link } = rigged({ gait, cacheReadOnly: true });
    const root = rig.pasid(directory, 5);
    rig.map(root, PAGE, 0x40100, 5n);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
    rig.map(root, PAGE, 0x40100);
    rig.deliver(link, request());
    expect(rig.translate(SID, 5, PAGE, 2)).toBe('fault 0x85');
    // PASID 5 of domain 1, all of it.
    rig.invalidate([0x5_0001_0026n]);
    expect(rig.translate(SID, 5, PAGE, 2)).toBe(0x40100);
  });

  it('gives requests private data where devices send it: PDP, but not in stop markers (D-4)', () => {
    const { rig, link } = rigged({ gait, privateData: true });
    rig.deliver(link, request(), request(1, 1, false), request(2, 0));
    const [first, second, marker] = entries32(rig, 3);
    expect(first[0]).toBe('0x0000000501000301');
    expect(second[0]).toBe('0x0000000501000301');
    expect(first[2]).not.toBe(second[2]);
    expect(marker).toEqual(
      ['0x0000000501000101', '0x0000000000000014', '0x0000000000000000', '0x0000000000000000'].map((w, i) =>
        i === 1 ? '0x00007f0000001014' : w,
      ),
    );
  });
});

describe('PageRequests of the extended-context mode', () => {
  /** An extended context entry: TT 5, PRE, PASIDE; PASID and state tables of 32 entries. */
  function extended(capabilities = {}) {
    const rig = new Rig({ ecs: true, ...capabilities }).enable(2);
    const at = rig.contextAt(SID);
    rig.store(at, BigInt(rig.frames(0)) | 0xa15n, 0x102n, BigInt(rig.frames(0)), BigInt(rig.frames(0)));
    return { rig, link: rig.link() };
  }

  it('writes the golden vector: 16 bytes (4.2)', () => {
    const { rig, link } = extended();
    rig.deliver(link, request());
    expect(entries(rig, 1)).toEqual([['0x038000000100005c', '0x00007f0000001003']]);
    expect([rig.read(0xc8), rig.read(0xdc), rig.interrupts]).toEqual([0x10, 1, ['page-request']]);
  });

  it('reports an overflow in FSTS.PRO (1.8, D-8)', () => {
    const { rig, link } = extended();
    rig.write(0xc0, 0x20);
    rig.deliver(link, request(1), request(2));
    expect([rig.read(0xdc), rig.fsts & 0x80, link.sent]).toEqual([1, 0x80, [answer(2, 0)]]);
    rig.write(0xc0, 0x10);
    rig.deliver(link, request(3));
    expect(link.sent.length).toBe(2);
    rig.write(0x34, 0x80);
    rig.deliver(link, request(4));
    expect([link.sent.length, rig.read(0xc8)]).toEqual([2, 0x20]);
  });

  it('asks for stream responses and gives private data where devices send it', () => {
    const { rig, link } = extended({ privateData: true });
    rig.deliver(link, request(7, 3, false), request(7, 3, true));
    expect(entries(rig, 2).map(([qw0]) => qw0)).toEqual(['0x0380000001000055', '0x038000010100005c']);
  });
});
