import { Observer } from '@iommukit/kernel';
import { InFlight } from '@iommukit/pci-ats';
import { describe, expect, it } from 'vitest';
import { interrupting } from '../test/interrupting.js';
import { hex, Rig } from '../test/rig.js';
import type { SmmuV3Parts } from './index.js';

const PAGE = 0x7f1234567;
const read = { kind: 'read', at: 0, tag: 1, pasid: 5, page: PAGE, offset: 0, bytes: 8, witness: 0 } as const;

/** SID 0x42, PASID 5, one page, a stepwise SMMU; where each entry of the walk lies. */
function rigged(parts: Partial<SmmuV3Parts> = {}, twoLevel = false) {
  const rig = new Rig({ gait: 'stepwise' }, {}, parts).enable();
  let table = rig.cdTable(0x42, 6);
  const l1 = table;
  if (twoLevel) {
    // S1Fmt = 1: a level-1 descriptor that leads to 64 CDs; S1CDMax = 7.
    rig.ste(0x42, (7n << 59n) | BigInt(table) | 0x1bn, 0x1000_0000n);
    table = rig.frames(0);
    rig.store(l1, BigInt(table) | 1n);
  }
  const root = rig.cd(table, 5, Rig.cd0(0x12));
  rig.map(root, PAGE, 0x40100);
  const slots: number[] = [];
  let at = root;
  for (const shift of [27, 18, 9, 0]) {
    slots.push(at + (Math.floor(PAGE / 2 ** shift) % 512) * 8);
    at = Number(rig.load(slots[slots.length - 1]) & 0xffff_ffff_f000n);
  }
  return { rig, table, l1, root, slots, ste: rig.strtab + 0x42 * 64, cd: table + 5 * 64, link: rig.link(0x42) };
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
    const { rig, ste, cd, slots, link } = rigged();
    const { footprint } = rig.smmu;
    const seen = touched(rig, link);
    const tables = slots.map((slot) => slot / 8);
    const walk = [footprint, ...words(ste, 8), ...words(cd, 8), footprint, ...tables, footprint];
    expect(seen.slice(0, walk.length)).toEqual(walk);
    // The access itself: a step of its own, of 8 bytes.
    expect(seen.slice(walk.length, -1)).toEqual([(0x40100 * 4096) / 8, (0x40100 * 4096) / 8]);
    // Cached: only the caches, then the access.
    const again = touched(rig, link);
    expect(again.slice(0, 2)).toEqual([footprint, (0x40100 * 4096) / 8]);
  });

  it('fetches level-1 descriptors in one piece', () => {
    const { rig, l1, ste, cd, link } = rigged({}, true);
    const { footprint } = rig.smmu;
    expect(touched(rig, link).slice(0, 19)).toEqual([footprint, ...words(ste, 8), l1 / 8, ...words(cd, 8), footprint]);
  });

  it('sees a descriptor that software replaces while it is fetched in pieces of two versions, and tells oracles (INV-14)', () => {
    const { rig, cd, link } = rigged();
    const other = rig.frames(0);
    rig.map(other, PAGE, 0x40200);
    const entries: [string, string[]][] = [];
    rig.kernel.observer = new (class extends Observer {
      override entry(_agent: string, what: string, pa: number, seen: Uint32Array): void {
        const pair = (i: number): string => hex((BigInt(seen[i + 1]) << 32n) | BigInt(seen[i]));
        if (what === 'CD') entries.push([`${what} at ${pa === cd}`, [pair(0), pair(2)]]);
      }
    })();
    rig.kernel.spawn('lane', () => rig.smmu.receive(link, read) as never);
    rig.kernel.spawn('driver', function* () {
      yield* rig.kernel.point(cd / 8, true);
      // ASID 0x13 with another table: dw0, then dw1, while V = 1.
      rig.store(cd, Rig.cd0(0x13));
      rig.store(cd + 8, BigInt(other));
    });
    rig.kernel.begin(interrupting('lane', cd / 8 + 1, 1, 'driver'));
    expect(rig.kernel.run().end).toBe('finished');
    // The old ASID with the new table.
    expect(entries).toEqual([['CD at true', [hex(Rig.cd0(0x12)), hex(BigInt(other))]]]);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40200);
    rig.map(other, PAGE, 0x40300);
    rig.command(0x0013000000000011n, 0n);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40200);
    rig.command(0x0012000000000011n, 0n);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40300);
  });

  it('walks on through a table that was taken out, but keeps nothing once an invalidation came (MN-18)', () => {
    class IgnoresWalks extends InFlight {
      override invalidated(): void {}
    }
    /** What the caches hold after a read that was interrupted before the fetch of its leaf. */
    const after = (parts: Partial<SmmuV3Parts>): (number | string)[] => {
      const { rig, slots, link } = rigged(parts);
      rig.kernel.spawn('lane', () => rig.smmu.receive(link, read) as never);
      rig.kernel.spawn('driver', function* () {
        yield* rig.kernel.point(slots[2] / 8, true);
        rig.store(slots[2], 0n);
        rig.smmu.iotlb.dropAll();
        rig.smmu.invalidated();
      });
      rig.kernel.begin(interrupting('lane', slots[3] / 8, 1, 'driver'));
      expect(rig.kernel.run().end).toBe('finished');
      const status = link.sent[0].kind === 'completion' ? link.sent[0].status : '';
      return [status, rig.translate(0x42, 5, PAGE)];
    };
    // The access that was under way is done with what it had; nobody else is.
    expect(after({})).toEqual(['ok', 'event 0x10']);
    expect(after({ InFlight: IgnoresWalks })).toEqual(['ok', 0x40100]);
  });

  it('keeps neither the STE nor the CD that it fetched before an invalidation', () => {
    const { rig, cd, link } = rigged();
    rig.kernel.spawn('lane', () => rig.smmu.receive(link, read) as never);
    rig.kernel.spawn('driver', function* () {
      yield* rig.kernel.point(cd / 8, true);
      rig.store(cd, 0n);
      rig.smmu.config.dropStreams(0, 0x42);
      rig.smmu.invalidated();
    });
    rig.kernel.begin(interrupting('lane', cd / 8 + 7, 1, 'driver'));
    expect(rig.kernel.run().end).toBe('finished');
    expect(rig.smmu.config.findSte(0x42)).toBe(-1);
    expect(rig.smmu.config.findContext(0x42, 5)).toBe(-1);
    expect(rig.translate(0x42, 5, PAGE)).toBe('event 0xa');
  });

  it('starts numbering spaces again in the middle of a walk without mixing them up', () => {
    const { rig, slots, link } = rigged();
    rig.kernel.spawn('lane', () => rig.smmu.receive(link, read) as never);
    rig.kernel.spawn('other', function* () {
      yield* rig.kernel.point(slots[3] / 8, true);
      rig.smmu.dropEverything();
    });
    rig.kernel.begin(interrupting('lane', slots[3] / 8, 1, 'other'));
    expect(rig.kernel.run().end).toBe('finished');
    expect(rig.smmu.iotlb.tags.every((tag) => tag === -1)).toBe(true);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
  });
});
