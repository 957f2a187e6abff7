import { describe, expect, it } from 'vitest';
import { hex, Rig, type TestLink } from '../test/rig.js';
import { DataAccesses, PUSH_BACK_LIMIT, Stalls } from './index.js';

const PAGE = 0x7f1234567;
const ADDRESS = '0x00007f1234567abc';
const NONE = '0x0000000000000000';
const S = 1n << 44n;
const R = 1n << 45n;
const SYNC = 0x0fc02046n;
/** RESUME of SID 0x42 (smmuv3.md 4.3): retry, abort, terminate. */
const RETRY = 0x0000004200001044n;
const ABORT = 0x0000004200002044n;
const TERMINATE = 0x0000004200000044n;
const STALL_TERM = 0x0000004200000045n;

const read = (tag: number, page = PAGE, pasid = 5) =>
  ({ kind: 'read', at: 0, tag, pasid, page, offset: 0xabc, bytes: 8, witness: 0 }) as const;
const write = (tag: number | undefined, page = PAGE, byte = tag ?? 0, pasid = 5) => ({
  kind: 'write' as const,
  at: 0,
  ...(tag === undefined ? {} : { tag }),
  pasid,
  page,
  offset: 0xabc,
  data: Uint8Array.of(byte),
  witness: 0,
});
const done = (tag: number, status = 'ok', ...data: number[]) => ({
  kind: 'completion',
  tag,
  status,
  data: Uint8Array.of(...data),
});

interface Bound {
  readonly rig: Rig;
  readonly link: TestLink;
  readonly root: number;
  readonly table: number;
}

/** SID 0x42 of a platform device, whose PASID 5 has an empty table and a CD with S, R and A. */
function bound(capabilities = {}, or = S, without = 0n, parts = {}, stalls = true): Bound {
  const rig = new Rig(capabilities, {}, parts).enable();
  const table = rig.cdTable(0x42, 6);
  const root = rig.cd(table, 5, Rig.cd0(1, or, without));
  return { rig, link: rig.link(0x42, stalls), root, table };
}
const dw1 = (rig: Rig): string[] => rig.events().map((record) => record[1]);

describe('Stalls', () => {
  it('records a stalled read as in the example of smmuv3.md 5.2, and answers nothing (5.4)', () => {
    const { rig, link } = bound();
    rig.deliver(link, ...[1, 2, 3, 4, 5, 6, 7].map((n) => read(n, PAGE + n)));
    rig.events();
    rig.deliver(link, read(8));
    expect(rig.events()).toEqual([['0x0000004200005810', '0x0000020880000007', ADDRESS, NONE]]);
    expect(link.sent).toEqual([]);
  });

  it('records a stalled write with RnW=0, and CD.R=0 does not matter (smmuv3.md 2.4)', () => {
    const { rig, link } = bound({}, S, R);
    rig.deliver(link, write(1));
    expect(rig.events()).toEqual([['0x0000004200005810', '0x0000020080000000', ADDRESS, NONE]]);
  });

  it.each([
    [
      'F_ADDR_SIZE',
      0x11,
      '0x0000020880000000',
      0x7_0000_0000n,
      (rig: Rig, root: number) => rig.map(root, PAGE, 2 ** 20),
    ],
    ['F_ACCESS', 0x12, '0x0000020880000000', 0n, (rig: Rig, root: number) => rig.map(root, PAGE, 0x40100, 0x843n)],
    ['F_PERMISSION', 0x13, '0x0000020880000000', 0n, (rig: Rig, root: number) => rig.map(root, PAGE, 0x40100, 0xc03n)],
  ])('stalls for %s too', (_name, id, word, without, map) => {
    const { rig, link, root } = bound({}, S, without);
    map(rig, root);
    rig.deliver(link, read(1));
    expect(rig.events()).toEqual([[hex(0x0000004200005800n + BigInt(id)), word, ADDRESS, NONE]]);
    expect(link.sent).toEqual([]);
  });

  it('runs the transaction again on RESUME retry, as if it had just arrived (SMMU-31)', () => {
    const { rig, link, root } = bound();
    rig.deliver(link, write(3));
    rig.command(RETRY, 0n);
    // Still no page: it faults again, with a new record.
    expect(dw1(rig)).toHaveLength(2);
    expect(link.sent).toEqual([]);
    rig.map(root, PAGE, 0x40100);
    rig.command(RETRY, 0n);
    expect(link.sent).toEqual([done(3)]);
    expect(rig.load(0x40100ab8)).toBe(0x3_0000_0000n);
    expect(dw1(rig)).toEqual([]);
  });

  it('ends the transaction with an abort on RESUME abort: a read, and a write that has a tag', () => {
    const { rig, link } = bound();
    rig.deliver(link, write(1), read(2), write(undefined, PAGE + 1));
    rig.command(ABORT, 0n, ABORT, 1n, ABORT, 2n);
    expect(link.sent).toEqual([done(1, 'ca'), done(2, 'ca')]);
    expect(rig.smmu.stalls.busy).toBe(false);
  });

  it('reads zeros and ignores writes on RESUME terminate, or aborts with TERM_MODEL=1 (smmuv3.md 4.2)', () => {
    const { rig, link } = bound();
    rig.deliver(link, write(1), read(2));
    rig.command(TERMINATE, 0n, TERMINATE, 1n);
    expect(link.sent).toEqual([done(1), done(2, 'ok', 0, 0, 0, 0, 0, 0, 0, 0)]);
    const other = bound({ terminateAborts: true });
    other.rig.deliver(other.link, write(1));
    other.rig.command(TERMINATE, 0n);
    expect(other.link.sent).toEqual([done(1, 'ca')]);
  });

  it('ignores Ab when Ac is set (smmuv3.md 4.2)', () => {
    const { rig, link, root } = bound();
    rig.deliver(link, write(1));
    rig.map(root, PAGE, 0x40100);
    rig.command(RETRY | ABORT, 0n);
    expect(link.sent).toEqual([done(1)]);
  });

  it('does nothing for a STAG, or a stream, that no stalled transaction has (smmuv3.md 4.2)', () => {
    const { rig, link } = bound();
    rig.deliver(link, read(1));
    rig.command(ABORT, 0xbeefn, ABORT + (1n << 32n), 0n);
    expect(link.sent).toEqual([]);
    expect(rig.error).toBe(0);
  });

  it('gives each outstanding stall a STAG of its own, and a free one again (smmuv3.md 5.4)', () => {
    const { rig, link } = bound();
    rig.deliver(link, read(1, PAGE), read(2, PAGE + 1), read(3, PAGE + 2));
    expect(dw1(rig).map((word) => BigInt(word) & 0xffffn)).toEqual([0n, 1n, 2n]);
    rig.command(ABORT, 1n);
    rig.deliver(link, read(4, PAGE + 3), read(5, PAGE + 4));
    expect(dw1(rig).map((word) => BigInt(word) & 0xffffn)).toEqual([1n, 3n]);
  });

  it('lets transactions of one kind to one page share a record, and retries them together, in order (smmuv3.md 5.4)', () => {
    const { rig, link, root } = bound();
    rig.deliver(link, write(1), write(2), read(3), write(4), write(5, PAGE, 5, -1 + 7));
    expect(rig.events().map((record) => record.slice(0, 2))).toEqual([
      ['0x0000004200005810', '0x0000020080000000'],
      ['0x0000004200005810', '0x0000020880000001'],
      // PASID 6 has no CD: a configuration error never stalls.
      ['0x000000420000680a', NONE],
    ]);
    link.sent.length = 0;
    rig.map(root, PAGE, 0x40100);
    rig.command(RETRY, 0n);
    expect(link.sent).toEqual([done(1), done(2), done(4)]);
    expect(rig.load(0x40100ab8)).toBe(0x4_0000_0000n);
    rig.command(RETRY, 1n);
    expect(link.sent.at(-1)).toEqual(done(3, 'ok', 4, 0, 0, 0, 0, 0, 0, 0));
  });

  it('pushes a link back beyond STALL_MAX, in order, and loses nothing (smmuv3.md 5.4)', () => {
    const { rig, link, root } = bound({ stallMax: 2 });
    rig.map(root, PAGE + 9, 0x40900);
    rig.deliver(link, write(1, PAGE), write(2, PAGE + 1), write(3, PAGE + 2), write(4, PAGE + 9), write(5, PAGE));
    expect(dw1(rig)).toHaveLength(2);
    expect(link.sent).toEqual([]);
    for (const n of [0, 1, 2]) rig.map(root, PAGE + n, 0x40100 + n);
    rig.command(RETRY, 0n);
    expect(link.sent).toEqual([done(1), done(3), done(4), done(5)]);
    rig.command(RETRY, 1n);
    expect(link.sent.at(-1)).toEqual(done(2));
    expect(rig.smmu.stalls.busy).toBe(false);
  });

  it('terminates what cannot even be pushed back, with Stall=0', () => {
    const { rig, link } = bound({ stallMax: 1 });
    rig.deliver(link, ...Array.from({ length: PUSH_BACK_LIMIT + 2 }, (_, n) => read(n, PAGE + n)));
    expect(link.sent).toEqual([done(PUSH_BACK_LIMIT + 1, 'ca')]);
    expect(dw1(rig)).toEqual(['0x0000020880000000', '0x0000020800000000']);
    const none = bound({ stallMax: 0 });
    none.rig.deliver(none.link, read(1));
    expect(none.link.sent).toEqual([done(1, 'ca')]);
  });

  it('writes a stalled record later when the queue is full, off or aborted, and that is no overflow (smmuv3.md 5.4)', () => {
    const { rig, link } = bound();
    rig.deliver(link, ...Array.from({ length: 10 }, (_, n) => read(n, PAGE + n)));
    expect(rig.read(0x100a8)).toBe(8);
    expect(dw1(rig)).toHaveLength(8);
    rig.settle();
    expect(dw1(rig)).toEqual(['0x0000020880000008', '0x0000020880000009']);
    rig.write(0x20, 0x1b); // EVENTQEN = 0
    rig.deliver(link, read(10, PAGE + 10));
    rig.write(0x20, 0x1f);
    rig.settle();
    expect(dw1(rig)).toEqual(['0x000002088000000a']);
    rig.write(0x20, 0x1b);
    rig.write64(0xa0, 0x80_0000_0003n);
    rig.write(0x20, 0x1f);
    rig.deliver(link, read(11, PAGE + 11));
    expect(rig.read(0x60)).toBe(0x4);
    rig.write(0x20, 0x1b);
    rig.write64(0xa0, BigInt(rig.eventq) | 3n);
    rig.write(0x20, 0x1f);
    rig.settle();
    expect(dw1(rig)).toEqual([]);
    rig.write(0x64, 0x4);
    rig.settle();
    expect(dw1(rig)).toEqual(['0x000002088000000b']);
    expect(rig.read(0x100a8) >>> 31).toBe(0);
  });

  it('retries unwritten stalls after an invalidation and SYNC, and not after a SYNC alone (smmuv3.md 5.4)', () => {
    const { rig, link, root } = bound();
    rig.write(0x20, 0x1b);
    rig.deliver(link, read(1));
    rig.map(root, PAGE, 0x40100);
    rig.command(SYNC, 0n);
    expect(link.sent).toEqual([]);
    rig.command(0x30n, 0n, SYNC, 0n);
    expect(link.sent).toEqual([done(1, 'ok', 0, 0, 0, 0, 0, 0, 0, 0)]);
    rig.write(0x20, 0x1f);
    rig.settle();
    expect(dw1(rig)).toEqual([]);
  });

  it('keeps a stall whose record is written, whatever is invalidated: software owes it a RESUME (smmuv3.md 5.4)', () => {
    const { rig, link, root } = bound();
    rig.deliver(link, read(1));
    rig.map(root, PAGE, 0x40100);
    rig.command(0x30n, 0n, SYNC, 0n);
    expect(link.sent).toEqual([]);
    rig.command(RETRY, 0n);
    expect(link.sent).toHaveLength(1);
  });

  it('aborts every stall of a stream on STALL_TERM, recorded or not, and of no other (smmuv3.md 5.4)', () => {
    const { rig, link, table } = bound();
    rig.ste(0x43, (6n << 59n) | BigInt(table) | 0xbn);
    const other = rig.link(0x43, true);
    rig.deliver(other, read(1));
    rig.deliver(link, ...Array.from({ length: 9 }, (_, n) => read(n, PAGE + n)));
    // The teardown of 5.4: STE Config=0, CFGI_STE, SYNC, STALL_TERM, SYNC. Reads that were not recorded are retried before.
    rig.ste(0x42, 1n);
    rig.command(0x0000004200000003n, 1n, SYNC, 0n, STALL_TERM, 0n, SYNC, 0n);
    expect(link.sent.map((tlp) => tlp.kind === 'completion' && tlp.status)).toEqual(new Array(9).fill('ca'));
    expect(other.sent).toEqual([]);
    expect(dw1(rig)).toHaveLength(8);
  });

  it('aborts every stall when SMMUEN goes to 0, and every STAG is free (smmuv3.md 5.4)', () => {
    const { rig, link } = bound({ stallMax: 1 });
    rig.deliver(link, read(1), read(2, PAGE + 1));
    rig.write(0x20, 0x1e);
    rig.settle();
    expect(link.sent).toEqual([done(2, 'ca'), done(1, 'ca')]);
    rig.write(0x20, 0x1f);
    rig.events();
    rig.deliver(link, read(3));
    expect(dw1(rig)).toEqual(['0x0000020880000000']);
  });

  it('never stalls a PCI Express function, whatever CD.S says (FEAT-5)', () => {
    const { rig, link } = bound({}, S, R, {}, false);
    rig.deliver(link, read(1));
    expect(link.sent).toEqual([done(1, 'ca')]);
    expect(dw1(rig)).toEqual(['0x0000020800000000']);
  });

  it('stalls a function that only looks like PCI, for its link may: CD and STE are the same (SMMU-12)', () => {
    for (const stalls of [false, true]) {
      const { rig, link } = bound({}, S, 0n, {}, stalls);
      rig.deliver(link, read(1));
      expect(link.sent).toHaveLength(stalls ? 0 : 1);
    }
  });

  it('would stall one if the rule were broken (FEAT-5)', () => {
    class StallsAnything extends DataAccesses {
      override canStall(): boolean {
        return true;
      }
    }
    const { rig, link } = bound({}, S, 0n, { DataAccesses: StallsAnything }, false);
    rig.deliver(link, read(1));
    expect(link.sent).toEqual([]);
  });

  it('loses a record if stalled ones may be dropped: the test above would see it (smmuv3.md 5.4)', () => {
    class Forgetful extends Stalls {
      override queueChanged(): void {}
    }
    const { rig, link } = bound({}, S, 0n, { Stalls: Forgetful });
    rig.deliver(link, ...Array.from({ length: 9 }, (_, n) => read(n, PAGE + n)));
    expect(dw1(rig)).toHaveLength(8);
    rig.settle();
    expect(dw1(rig)).toEqual([]);
  });

  it.each([
    ['optional, S=1', 'optional', S, 0n, 'stall'],
    ['optional, S=0', 'optional', 0n, 0n, 'abort'],
    ['optional, S=0, R=0', 'optional', 0n, R, 'silent'],
    ['forced, S=1', 'forced', S, 0n, 'stall'],
    ['forced, S=0', 'forced', 0n, 0n, 'bad CD'],
    ['none, S=1', 'none', S, 0n, 'bad CD'],
    ['none, S=0', 'none', 0n, 0n, 'abort'],
  ])('with stall-model %s: %s (smmuv3.md 1.2, 2.4)', (_name, model, or, without, result) => {
    const rig = new Rig({}, { 'stall-model': model }).enable();
    rig.cd(rig.cdTable(0x42, 6), 5, Rig.cd0(1, or, without));
    const link = rig.link(0x42, true);
    rig.deliver(link, read(1));
    const events = rig.events().map((record) => record.slice(0, 2));
    const fault = '0x0000004200005810';
    if (result === 'stall') expect(events).toEqual([[fault, '0x0000020880000000']]);
    if (result === 'abort') expect(events).toEqual([[fault, '0x0000020800000000']]);
    if (result === 'silent') expect(events).toEqual([]);
    if (result === 'bad CD') expect(events).toEqual([['0x000000420000580a', NONE]]);
    expect(link.sent).toHaveLength(result === 'stall' ? 0 : 1);
    expect((rig.read(0) >>> 24) & 3).toBe({ optional: 0, forced: 2, none: 1 }[model]);
    expect(rig.read(0x14) >>> 16).toBe(model === 'none' ? 0 : 32);
  });

  it('finds S1STALLD=1 with S=1 illegal, and S1STALLD=1 where stalling is not optional (smmuv3.md 2.2, 2.4)', () => {
    const disabled = 0x1000_0000n | (1n << 27n);
    for (const [model, event] of [
      ['optional', '0x000000420000580a'],
      ['forced', '0x0000004200005804'],
    ]) {
      const rig = new Rig({ stall: model }).enable();
      rig.cd(rig.cdTable(0x42, 6, disabled), 5, Rig.cd0(1, S));
      rig.deliver(rig.link(0x42, true), read(1));
      expect(rig.events()[0][0]).toBe(event);
    }
  });

  it('answers a write that has a tag, of a device whose fault aborts, and not one without (smmuv3.md 2.4)', () => {
    const { rig, link, root } = bound({}, 0n);
    rig.deliver(link, write(1), write(undefined));
    rig.map(root, PAGE, 0x40100);
    rig.map(root, PAGE + 1, 0x10000);
    rig.deliver(link, write(2), write(3, PAGE + 1), write(undefined));
    expect(link.sent).toEqual([done(1, 'ca'), done(2), done(3, 'ur')]);
  });

  it('tells observers of a stall as of an event that software can recover from', () => {
    const { rig, link } = bound();
    const seen: [string, boolean][] = [];
    const { observer } = rig.kernel;
    rig.kernel.observer = Object.create(observer, {
      event: {
        value: (_agent: string, _sid: number, _pasid: number, name: string, stalled: boolean) =>
          seen.push([name, stalled]),
      },
    });
    rig.deliver(link, read(1), read(2, PAGE, 7));
    expect(seen).toEqual([
      ['F_TRANSLATION', true],
      ['C_BAD_CD', false],
    ]);
  });
});
