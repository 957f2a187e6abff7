import { type CacheLines, Observer } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Rig, SID } from '../test/rig.js';

const PAGE = 0x7f0000001;
/** Golden descriptors: PASID-cache, then PASID IOTLB, PASID-selective for DID 1, PASID 5 (9.1). */
const PASID_CACHE = [0x0000000500010017n];
const PASID_IOTLB = [0x0000000500010026n];
const IOTLB_DOMAIN = (did: number): bigint[] => [BigInt(did << 16) | 0xe2n];

/** SID 0x100, PASID 5, DID 1, one page. */
function mapped(capabilities = {}) {
  const rig = new Rig(capabilities).enable();
  const directory = rig.context();
  const root = rig.pasid(directory, 5);
  rig.map(root, PAGE, 0x40100);
  return { rig, directory, root, entry: rig.pasidAt(directory, 5) };
}

describe('what is cached, and until when', () => {
  it('goes on with a PASID entry that was cleared until the PASID cache is invalidated (VTD-17, VTD-19)', () => {
    const { rig, entry } = mapped();
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
    rig.store(entry, 0x48n);
    rig.invalidate(PASID_IOTLB);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
    rig.invalidate(PASID_CACHE);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x59');
  });

  it('goes on with a translation after its PASID entry is dropped and another one fetched, until the IOTLB is invalidated (VTD-13)', () => {
    const { rig, directory } = mapped();
    rig.translate(SID, 5, PAGE);
    const other = rig.frames(0);
    rig.map(other, PAGE, 0x40200);
    rig.pasid(directory, 5, 0x49n, 0x80_0001n, other);
    rig.invalidate(PASID_CACHE);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
    rig.invalidate(PASID_IOTLB);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40200);
  });

  it('uses a PASID entry as soon as P is set, without an invalidation, while CM=0 (VTD-11, VTD-12)', () => {
    const { rig, entry } = mapped();
    rig.store(entry, 0x48n);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x59');
    rig.store(entry, 0x49n);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
  });

  it('remembers with CM=1 that a PASID entry was not present, with its FPD, until the PASID cache is invalidated (VTD-12)', () => {
    const { rig, entry } = mapped({ cm: true });
    rig.store(entry, 0x4an);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x59');
    rig.store(entry, 0x49n);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x59');
    expect(rig.vtd.translator.suppressed).toBe(true);
    // With the new DID, as software does it.
    rig.invalidate(PASID_CACHE, PASID_IOTLB);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
  });

  it('remembers with CM=1 that there was no directory entry, too', () => {
    const { rig, directory } = mapped({ cm: true });
    const table = rig.load(directory);
    rig.store(directory, 0n);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x51');
    rig.store(directory, table);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x51');
    rig.invalidate(PASID_CACHE);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
  });

  it.each([
    [false, 0x40100],
    [true, 'fault 0x41'],
  ])('remembers with CM=%s that a context entry was not present (VTD-15)', (cm, then) => {
    const rig = new Rig({ cm }).enable();
    rig.contextAt(SID);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x41');
    rig.map(rig.pasid(rig.context(), 5), PAGE, 0x40100);
    expect(rig.translate(SID, 5, PAGE)).toBe(then);
    // Context-cache, device-selective, DID 0 (9.1).
    rig.invalidate([0x0000010000000031n]);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
  });

  it('goes on with a context entry that was cleared until the context cache is invalidated (VTD-51)', () => {
    const { rig } = mapped();
    rig.translate(SID, 5, PAGE);
    rig.store(rig.contextAt(SID), 0n);
    rig.invalidate(PASID_CACHE, PASID_IOTLB);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
    rig.invalidate([0x0000010000000031n]);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x41');
  });

  it('tags legacy context entries with their domain, and what is not present with domain 0 (VTD-5, VTD-15)', () => {
    const rig = new Rig({ cm: true });
    rig.store(rig.root + 16, BigInt(rig.frames(0)) | 1n);
    rig.enable(0);
    expect(rig.translate(SID, -1, 5)).toBe('fault 0x2');
    rig.mapSecond(rig.legacy(SID, 7), 5, 0x40100);
    // Device-selective with the new domain: not what it is tagged with.
    rig.invalidate([0x0000010000070031n]);
    expect(rig.translate(SID, -1, 5)).toBe('fault 0x2');
    rig.invalidate([0x0000010000000031n]);
    expect(rig.translate(SID, -1, 5)).toBe(0x40100);
    // Now it has domain 7.
    rig.store(Number(rig.load(rig.root + 16) & ~0xfffn), 0n);
    rig.invalidate([0x0000010000000031n], IOTLB_DOMAIN(7));
    expect(rig.translate(SID, -1, 5)).toBe(0x40100);
    rig.invalidate([0x0000010000070031n], IOTLB_DOMAIN(7));
    expect(rig.translate(SID, -1, 5)).toBe('fault 0x2');
  });

  it.each([
    [false, 0x40100],
    [true, 'fault 0x79'],
  ])('remembers with CM=%s that the second stage maps nothing, and never for the first (VTD-16)', (cm, then) => {
    const rig = new Rig({ cm }).enable();
    const directory = rig.context();
    const root = rig.frames(0);
    rig.store(rig.pasidAt(directory, 9), BigInt(root) | 0x89n, 0x80_0007n);
    const first = rig.pasid(directory, 5);
    expect([rig.translate(SID, 9, PAGE), rig.translate(SID, 5, PAGE)]).toEqual(['fault 0x79', 'fault 0x71']);
    rig.mapSecond(root, PAGE, 0x40100);
    rig.map(first, PAGE, 0x40200);
    expect([rig.translate(SID, 9, PAGE), rig.translate(SID, 5, PAGE)]).toEqual([then, 0x40200]);
    // Page-selective, DID 7.
    rig.invalidate([0x700f2n, BigInt(PAGE) << 12n]);
    expect(rig.translate(SID, 9, PAGE)).toBe(0x40100);
  });

  it('shares second-stage translations of a domain, and first-stage ones of domain and PASID, among devices (3.2, 3.6)', () => {
    const { rig, root } = mapped();
    const [second, other] = [rig.context(0x108), rig.frames(0)];
    rig.pasid(second, 5, 0x49n, 0x80_0001n, root);
    rig.pasid(second, 6, 0x49n, 0x80_0001n, other);
    rig.map(other, PAGE, 0x40300);
    rig.translate(SID, 5, PAGE);
    rig.map(root, PAGE, 0x40200);
    expect([rig.translate(0x108, 5, PAGE), rig.translate(0x108, 6, PAGE)]).toEqual([0x40100, 0x40300]);
  });

  it.each([
    [false, 0x40100],
    [true, 'fault 0x85'],
  ])('cacheReadOnly=%s: a line that lacks a right is walked for again, or answers', (cacheReadOnly, then) => {
    const { rig, root } = mapped({ cacheReadOnly });
    rig.map(root, PAGE, 0x40100, 5n);
    expect([rig.translate(SID, 5, PAGE, 1), rig.translate(SID, 5, PAGE, 2)]).toEqual([0x40100, 'fault 0x85']);
    rig.map(root, PAGE, 0x40100, 7n);
    expect(rig.translate(SID, 5, PAGE, 2)).toBe(then);
  });

  it('keeps tables in the walk cache unless an invalidation says that only leaves changed (VTD-27)', () => {
    const { rig, root } = mapped();
    rig.translate(SID, 5, PAGE);
    const top = root + (Math.floor(PAGE / 2 ** 27) % 512) * 8;
    rig.store(top, 0n);
    // Page-selective with IH: the tables stay.
    rig.invalidate([0x0000000500010036n, (BigInt(PAGE) << 12n) | 0x40n]);
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
    rig.invalidate([0x0000000500010036n, BigInt(PAGE) << 12n]);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x71');
  });

  it('starts numbering domains and PASIDs again, with nothing cached, when the numbers run out', () => {
    const rig = new Rig({ fl5lp: true, pss: 19 }).enable();
    const directory = rig.context();
    const roots: number[] = [];
    for (let pasid = 1; pasid <= 70; pasid++) {
      roots[pasid] = rig.pasid(directory, pasid, 0x49n, 0x80_0001n, rig.frames(0), 4n);
      const table = rig.frames(0);
      rig.store(roots[pasid], BigInt(table) | 7n);
      rig.map(table, 5, 0x40000 + pasid);
      expect(rig.translate(SID, pasid, 5)).toBe(0x40000 + pasid);
    }
    expect(rig.vtd.spaces.bases.length).toBeLessThan(64);
    for (let pasid = 1; pasid <= 70; pasid++) expect(rig.translate(SID, pasid, 5)).toBe(0x40000 + pasid);
  });

  it('comes back as it was when a checkpoint is restored', () => {
    const { rig, root, entry } = mapped();
    rig.translate(SID, 5, PAGE);
    rig.settle();
    const checkpoint = rig.kernel.checkpoints.take();
    rig.map(root, PAGE, 0x40200);
    rig.store(entry, 0n);
    rig.invalidate(PASID_CACHE, PASID_IOTLB);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x59');
    checkpoint.restore();
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
    rig.vtd.iotlb.dropAll();
    expect(rig.translate(SID, 5, PAGE)).toBe(0x40100);
  });
});

describe('what oracles are told', () => {
  class Spy extends Observer {
    readonly seen: string[] = [];
    override fetched(_agent: string, _pfn: number, what: string, stream: number, pasid: number): void {
      this.seen.push(`${what} ${stream.toString(16)} ${pasid}`);
    }
    override entry(_agent: string, what: string): void {
      this.seen.push(what);
    }
    override used(lines: CacheLines): void {
      this.seen.push(`uses ${lines.name.replace('dmar@fed90000 ', '')}`);
    }
    override filled(lines: CacheLines): void {
      this.seen.push(`fills ${lines.name.replace('dmar@fed90000 ', '')}`);
    }
  }

  it('names every table as its frames are owned, and every line that is filled and used', () => {
    const { rig } = mapped();
    const spy = new Spy();
    rig.kernel.observer = spy;
    rig.translate(SID, 5, PAGE);
    expect(spy.seen).toEqual([
      ...['root table 100 5', 'context table 100 5', 'context entry', 'fills context cache'],
      ...['PASID directory 100 5', 'PASID table 100 5', 'PASID entry', 'fills PASID cache', 'uses PASID cache'],
      ...['page table 100 5', 'fills walk cache', 'page table 100 5', 'fills walk cache'],
      ...['page table 100 5', 'fills walk cache', 'page table 100 5', 'fills IOTLB'],
    ]);
    spy.seen.length = 0;
    rig.translate(SID, 5, PAGE);
    expect(spy.seen).toEqual(['uses IOTLB']);
    spy.seen.length = 0;
    rig.vtd.iotlb.tags.fill(-1, 0, 4096);
    rig.translate(SID, 5, PAGE);
    expect(spy.seen).toEqual(['uses walk cache', 'page table 100 5', 'fills IOTLB']);
  });

  it('says that a cached entry passes a request through', () => {
    const rig = new Rig().enable();
    rig.pasid(rig.context(), 5, 0x101n);
    rig.translate(SID, 5, PAGE % 2 ** 20);
    const spy = new Spy();
    rig.kernel.observer = spy;
    expect(rig.translate(SID, 5, 0x12345)).toBe(0x12345);
    expect(spy.seen).toEqual(['uses PASID cache']);
  });
});
