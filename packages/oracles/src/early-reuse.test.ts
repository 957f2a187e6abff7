import { CacheLines, FairChooser, Kernel, PhysicalMemory } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Oracles } from './index.js';

const UNIT = 'smmuv3@9050000';
const DEVICE = '0000:00:03.0';

/** A kernel with RAM, watched: what a task that does `work` ends with. */
function outcomeOf(work: (oracles: Oracles, memory: PhysicalMemory) => void) {
  const kernel = new Kernel();
  const memory = new PhysicalMemory(kernel, [{ base: 0x40000000, bytes: 4 << 20 }]);
  const oracles = new Oracles(kernel, memory);
  kernel.observer = oracles;
  kernel.spawn('task', function* () {
    work(oracles, memory);
  });
  kernel.begin(new FairChooser());
  return kernel.run();
}

const finding = (invariant: string, story: RegExp) => ({
  end: 'violation',
  violation: { invariant, story: expect.stringMatching(story) as unknown },
});

/** A cache of the unit with a line of PASID 1. */
function cacheWithLine(oracles: Oracles, memory: PhysicalMemory, name = `${UNIT} IOTLB`): CacheLines {
  const lines = new CacheLines(name, 4);
  oracles.cache(lines);
  lines.tag[2] = 5;
  lines.page[2] = 5;
  lines.pasid[2] = 1;
  lines.frame[2] = memory.firstPfn;
  return lines;
}

const bind = (oracles: Oracles, space = 'mm:1'): void => oracles.bound(24, 1, space, DEVICE, UNIT);
const unbind = (oracles: Oracles): void => oracles.unbound(24, 1, DEVICE, UNIT);

describe('EarlyReuse (INV-4)', () => {
  it('reports a PASID that is handed out while a cache has a line of its last owner (TLB-5)', () => {
    const after = (flush: boolean) =>
      outcomeOf((oracles, memory) => {
        bind(oracles);
        const lines = cacheWithLine(oracles, memory);
        if (flush) lines.tag[2] = -1;
        unbind(oracles);
        oracles.handedOut('PASID', 2, 'mm:2');
        oracles.handedOut('PASID', 1, 'mm:3');
      });
    expect(after(false)).toMatchObject(
      finding('INV-4', /PASID 1 is handed out while smmuv3@9050000 IOTLB has a line for page 0x5/),
    );
    expect(after(true).end).toBe('finished');
  });

  it('reports an ASID of the unit whose caches have lines of its last owner, and of no other (SMMU-11)', () => {
    const after = (unit: string, asid: number) =>
      outcomeOf((oracles, memory) => {
        oracles.handedOut('ASID', 7, 'mm:1', UNIT);
        bind(oracles);
        cacheWithLine(oracles, memory);
        unbind(oracles);
        oracles.handedOut('ASID', asid, 'mm:2', unit);
      });
    expect(after(UNIT, 7)).toMatchObject(finding('INV-4', /ASID 7 of smmuv3@9050000 is handed out while/));
    expect(after('smmuv3@9090000', 7).end).toBe('finished');
    expect(after(UNIT, 8).end).toBe('finished');
  });

  it('reports an entry that is not zero when its last bond behind the unit is gone (SVA-12, VTD-21)', () => {
    const after = (left: number, other: boolean) =>
      outcomeOf((oracles, memory) => {
        bind(oracles);
        if (other) oracles.bound(32, 1, 'mm:1', '0000:00:04.0', UNIT);
        const pa = memory.frames.alloc('smmu CD table') * 4096 + 64;
        oracles.entry(UNIT, 'CD', pa, new Uint32Array(16), 24, 1);
        memory.store64(pa + 56, 0, left);
        unbind(oracles);
      });
    expect(after(4, false)).toMatchObject(
      finding('INV-4', /the entry of PASID 1 at 0x[0-9a-f]+ of smmuv3@9050000 is not zero/),
    );
    expect(after(0, false).end).toBe('finished');
    expect(after(4, true).end).toBe('finished');
  });

  it('reports an entry that is stored for a PASID which is bound to nothing (SVA-23, L05)', () => {
    const after = (bound: boolean) =>
      outcomeOf((oracles, memory) => {
        bind(oracles);
        const pa = memory.frames.alloc('smmu CD table') * 4096 + 64;
        oracles.entry(UNIT, 'CD', pa, new Uint32Array(16), 24, 1);
        if (!bound) oracles.bonds.delete(1);
        oracles.versions(pa, [new Uint32Array(16)], [null]);
        oracles.versions(pa, [Uint32Array.of(1, ...new Uint32Array(15))], [null]);
      });
    expect(after(false)).toMatchObject(finding('INV-4', /an entry is stored for PASID 1 .* bound to nothing/));
    expect(after(true).end).toBe('finished');
  });

  it('reports a PASID that is handed out while a page request is handled, and not answered (IOPF-11, L21)', () => {
    const after = (answered: boolean) =>
      outcomeOf((oracles) => {
        bind(oracles);
        oracles.asked(DEVICE, 1, 3, 5);
        oracles.faultAccepted(DEVICE, 1, 3, true, 5);
        if (answered) oracles.faultAnswered(DEVICE, 1, 3, 0);
        unbind(oracles);
        oracles.handedOut('PASID', 1, 'mm:2');
      });
    expect(after(false)).toMatchObject(
      finding('INV-4', /PASID 1 is handed out while group 3 of 0000:00:03\.0, asked for mm:1/),
    );
    expect(after(true).end).toBe('finished');
  });
});

describe('RightMm (INV-19)', () => {
  it('reports a fault that is handled in another address space than it was issued for (L21, L22, L24)', () => {
    const after = (space: string, settled = false) =>
      outcomeOf((oracles) => {
        bind(oracles);
        oracles.asked(DEVICE, 1, 3, 5);
        if (settled) oracles.settled(DEVICE, 1, 3);
        unbind(oracles);
        bind(oracles, 'mm:2');
        oracles.faultAccepted(DEVICE, 1, 3, true, 5);
        oracles.handling(1, 3, 5, space);
      });
    expect(after('mm:2')).toMatchObject(
      finding('INV-19', /0000:00:03\.0 asked for page 0x5 of PASID 1 when that was mm:1, and it is handled in mm:2/),
    );
    expect(after('mm:1').end).toBe('finished');
    expect(after('mm:2', true).end).toBe('finished');
  });

  it('does not judge what a device asks for without being bound', () => {
    const outcome = outcomeOf((oracles) => {
      oracles.asked(DEVICE, 1, 3, 5);
      bind(oracles);
      oracles.faultAccepted(DEVICE, 1, 3, true, 5);
      oracles.handling(1, 3, 5, 'mm:1');
    });
    expect(outcome.end).toBe('finished');
  });
});

describe('WholeEntries (INV-14)', () => {
  const [OLD, NEW] = [Uint32Array.of(1, 0, 0x1000, 0), Uint32Array.of(1, 0, 0x2000, 7)];
  const seen = (...words: readonly number[]) =>
    outcomeOf((oracles) => {
      oracles.versions(0x40000040, [NEW, OLD], [null, Uint32Array.of(1, 0, 0xffffffff, 0)]);
      oracles.entry(UNIT, 'CD', 0x40000040, Uint32Array.from(words), 24, 1);
    });

  it('reports an entry that mixes fields of two versions, and says of which', () => {
    expect(seen(1, 0, 0x2000, 0)).toMatchObject(
      finding(
        'INV-14',
        /smmuv3@9050000 acts on the CD of PASID 1 at 0x40000040 as \[1 2000\]: it mixes fields of \[1 700002000\] and \[1 1000\]/,
      ),
    );
  });

  it('accepts each version whole, whatever is in bits that hardware does not look at', () => {
    expect(seen(1, 0, 0x2000, 7).end).toBe('finished');
    expect(seen(1, 0, 0x1000, 7).end).toBe('finished');
  });

  it('does not judge an entry that nobody has named, or whose frame has changed hands', () => {
    const outcome = outcomeOf((oracles, memory) => {
      const pfn = memory.frames.alloc('smmu CD table');
      oracles.versions(pfn * 4096, [OLD], [null]);
      memory.frames.free(pfn);
      for (const pa of [pfn * 4096, 0x40001000]) oracles.entry(UNIT, 'CD', pa, NEW, 24, 1);
    });
    expect(outcome.end).toBe('finished');
  });
});
