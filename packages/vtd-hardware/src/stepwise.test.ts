import { Observer } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { interrupting } from '../test/interrupting.js';
import { hex, Rig, SID } from '../test/rig.js';
import { InFlight, type VtdParts } from './index.js';

const PAGE = 0x7f0000001;
const read = { kind: 'read', at: 0, tag: 1, pasid: 5, page: PAGE, offset: 0, bytes: 8, witness: 0 } as const;

/** SID 0x100, PASID 5, one page with its flags set, a stepwise unit; where each entry of the way lies. */
function rigged(parts: Partial<VtdParts> = {}, attributes = 0x27n) {
  const rig = new Rig({ gait: 'stepwise' }, {}, parts).enable();
  const directory = rig.context();
  const root = rig.pasid(directory, 5);
  rig.map(root, PAGE, 0x40100, attributes, 1, attributes);
  const slots: number[] = [];
  let at = root;
  for (const shift of [27, 18, 9, 0]) {
    slots.push(at + (Math.floor(PAGE / 2 ** shift) % 512) * 8);
    at = Number(rig.load(slots[slots.length - 1]) & 0xffff_ffff_f000n);
  }
  const entry = rig.pasidAt(directory, 5);
  return { rig, directory, root, slots, entry, context: rig.contextAt(SID), link: rig.link() };
}

/** The footprints of everything that one read touches, in order. */
function touched(rig: Rig, link: ReturnType<Rig['link']>): number[] {
  const seen: number[] = [];
  rig.kernel.listener = { access: (_task, what) => seen.push(what) };
  rig.deliver(link, read);
  rig.kernel.listener = null;
  return seen;
}
const words = (pa: number, count: number): number[] => Array.from({ length: count }, (_, i) => pa / 8 + i);

describe('Stepwise', () => {
  it('is preempted before every 64 bits of every entry, and before it fills a line (architecture of the two gaits)', () => {
    const { rig, directory, slots, entry, context, link } = rigged();
    const { footprint } = rig.vtd;
    const seen = touched(rig, link);
    const tables = slots.map((slot) => slot / 8);
    const way = [
      ...[footprint, (rig.root + 16) / 8, ...words(context, 4), directory / 8, ...words(entry, 8)],
      ...[footprint, ...tables, footprint],
    ];
    expect(seen.slice(0, way.length)).toEqual(way);
    // The access itself: a step of its own, of 8 bytes.
    expect(seen[way.length]).toBe((0x40100 * 4096) / 8);
    // Cached: only the caches, then the access.
    expect(touched(rig, link).slice(0, 2)).toEqual([footprint, (0x40100 * 4096) / 8]);
  });

  it('is preempted before each update of flags, and writes them in one step each', () => {
    const { rig, slots, link } = rigged({}, 7n);
    const seen = touched(rig, link).filter((what) => slots.some((slot) => slot / 8 === what));
    expect(seen).toEqual(slots.flatMap((slot) => [slot / 8, slot / 8]));
  });

  it('fetches legacy entries as two pieces each', () => {
    const rig = new Rig({ gait: 'stepwise' });
    const root = rig.legacy();
    rig.mapSecond(root, 5, 0x40100);
    rig.enable(0);
    const seen: number[] = [];
    const link = rig.link();
    rig.kernel.listener = { access: (_task, what) => seen.push(what) };
    rig.deliver(link, { ...read, pasid: -1, page: 5 });
    const context = Number(rig.load(rig.root + 16) & ~0xfffn);
    expect(seen.slice(1, 5)).toEqual([...words(rig.root + 16, 2), ...words(context, 2)]);
  });

  it('sees an entry that software replaces while it is fetched in pieces of two versions, and tells oracles (INV-14, VTD-11)', () => {
    const { rig, entry, link } = rigged();
    const other = rig.frames(0);
    rig.map(other, PAGE, 0x40200, 0x27n, 1, 0x27n);
    const seen: string[][] = [];
    rig.kernel.observer = new (class extends Observer {
      override entry(_agent: string, what: string, pa: number, now: Uint32Array): void {
        const pair = (i: number): string => hex((BigInt(now[i + 1]) << 32n) | BigInt(now[i]));
        if (what === 'PASID entry') seen.push([`${pa === entry}`, pair(0), pair(2), pair(4)]);
      }
    })();
    rig.kernel.spawn('lane', () => rig.vtd.receive(link, read) as never);
    rig.kernel.spawn('driver', function* () {
      yield* rig.kernel.point(entry / 8, true);
      // DID 2 with another table, while P=1.
      rig.store(entry + 8, 0x80_0002n, BigInt(other));
    });
    rig.kernel.begin(interrupting('lane', entry / 8 + 2, 1, 'driver'));
    expect(rig.kernel.run().end).toBe('finished');
    expect(seen).toEqual([['true', '0x0000000000000049', '0x0000000000800001', hex(BigInt(other))]]);
    // It is used as it was seen: DID 1, the other table.
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40200);
  });

  it('does not keep what it read before an invalidation came (MN-18)', () => {
    class IgnoresWalks extends InFlight {
      override invalidated(): void {}
    }
    /** What the caches hold after a read that was interrupted before the fetch of its leaf. */
    const after = (parts: Partial<VtdParts>): (number | string)[] => {
      const { rig, slots, link } = rigged(parts);
      rig.kernel.spawn('lane', () => rig.vtd.receive(link, read) as never);
      rig.kernel.spawn('driver', function* () {
        yield* rig.kernel.point(slots[2] / 8, true);
        rig.store(slots[2], 0n);
        rig.vtd.iotlb.dropAll();
        rig.vtd.invalidated();
      });
      rig.kernel.begin(interrupting('lane', slots[3] / 8, 1, 'driver'));
      expect(rig.kernel.run().end).toBe('finished');
      const status = link.sent[0].kind === 'completion' ? link.sent[0].status : '';
      return [status, rig.translate(SID, 5, PAGE)];
    };
    // The access that was under way is done with what it had; nobody else is.
    expect(after({})).toEqual(['ok', 'fault 0x71']);
    expect(after({ InFlight: IgnoresWalks })).toEqual(['ok', 0x40100]);
  });

  it('keeps neither context nor PASID entry that it fetched before an invalidation', () => {
    const { rig, entry, link } = rigged();
    rig.kernel.spawn('lane', () => rig.vtd.receive(link, read) as never);
    rig.kernel.spawn('driver', function* () {
      yield* rig.kernel.point(entry / 8, true);
      rig.store(entry, 0n);
      rig.vtd.contexts.dropAll();
      rig.vtd.pasids.dropAll();
      rig.vtd.invalidated();
    });
    rig.kernel.begin(interrupting('lane', entry / 8 + 7, 1, 'driver'));
    expect(rig.kernel.run().end).toBe('finished');
    expect(rig.vtd.contexts.find(SID)).toBe(-1);
    expect(rig.vtd.pasids.find(SID, 5)).toBe(-1);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x59');
  });

  it('does not remember that nothing was mapped, when it is invalidated before it could (VTD-16, MN-18)', () => {
    const rig = new Rig({ gait: 'stepwise', cm: true }).enable();
    const directory = rig.context();
    const root = rig.frames(0);
    rig.store(rig.pasidAt(directory, 5), BigInt(root) | 0x89n, 0x80_0007n);
    const link = rig.link();
    const top = (root + (Math.floor(PAGE / 2 ** 27) % 512) * 8) / 8;
    rig.kernel.spawn('lane', () => rig.vtd.receive(link, read) as never);
    rig.kernel.spawn('driver', function* () {
      yield* rig.kernel.point(top, true);
      rig.mapSecond(root, PAGE, 0x40100);
      rig.vtd.iotlb.dropAll();
      rig.vtd.invalidated();
    });
    // The third visit of the caches: it has walked, and is about to fill.
    rig.kernel.begin(interrupting('lane', rig.vtd.footprint, 3, 'driver'));
    expect(rig.kernel.run().end).toBe('finished');
    expect(rig.faults()).toHaveLength(1);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
  });

  it('starts numbering spaces again in the middle of a walk without mixing them up', () => {
    const { rig, slots, link } = rigged();
    rig.kernel.spawn('lane', () => rig.vtd.receive(link, read) as never);
    rig.kernel.spawn('other', function* () {
      yield* rig.kernel.point(slots[3] / 8, true);
      rig.vtd.dropEverything();
    });
    rig.kernel.begin(interrupting('lane', slots[3] / 8, 1, 'other'));
    expect(rig.kernel.run().end).toBe('finished');
    expect(rig.vtd.iotlb.tags.every((tag) => tag === -1)).toBe(true);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
  });

  it('sets no flag in an entry that is cleared between its fetch and the update (PF-10)', () => {
    const { rig, slots, link } = rigged({}, 7n);
    rig.kernel.spawn('lane', () => rig.vtd.receive(link, read) as never);
    rig.kernel.spawn('driver', function* () {
      yield* rig.kernel.point(slots[3] / 8, true);
      rig.store(slots[3], 0n);
    });
    rig.kernel.begin(interrupting('lane', slots[3] / 8, 2, 'driver'));
    expect(rig.kernel.run().end).toBe('finished');
    expect(hex(rig.load(slots[3]))).toBe('0x0000000000000000');
    expect(rig.faults()).toEqual([[hex(BigInt(PAGE) << 12n), '0xc000057180000100']]);
  });
});
