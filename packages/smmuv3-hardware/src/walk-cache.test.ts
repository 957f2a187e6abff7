import { type CacheLines, NO_OBSERVER, Observer } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';

const PAGE = 0x7f1234567;
/** Another page of the same 2 MiB. */
const NEXT = PAGE + 1;
const VA = BigInt(PAGE) << 12n;
const READ = 1;

/** PASID 5 with two pages of one table, both of which lie in a second table too, with other frames. */
function rigged(capabilities = {}) {
  const rig = new Rig(capabilities).enable();
  const table = rig.cdTable(0x42, 6);
  const root = rig.cd(table, 5, Rig.cd0(0x12));
  rig.map(root, PAGE, 0x40100);
  rig.map(root, NEXT, 0x40101);
  let slot = root;
  for (const shift of [27, 18, 9]) {
    slot += (Math.floor(PAGE / 2 ** shift) % 512) * 8;
    if (shift !== 9) slot = Number(rig.load(slot) & 0xffff_ffff_f000n);
  }
  const other = rig.frames(0);
  rig.store(other + (PAGE % 512) * 8, 0x40200c43n);
  rig.store(other + (NEXT % 512) * 8, 0x40201c43n);
  /** Points the level-2 descriptor elsewhere. */
  const move = () => rig.store(slot, BigInt(other) | 3n);
  return { rig, table, root, slot, move, ask: (page = NEXT) => rig.translate(0x42, 5, page, READ) };
}

describe('WalkCache', () => {
  it('begins a walk below the tables that it knows', () => {
    const { ask, move } = rigged();
    expect(ask(PAGE)).toBe(0x40100);
    move();
    expect(ask(NEXT)).toBe(0x40101);
  });

  it.each<[string, bigint, bigint, boolean]>([
    // ASID 0x12; Leaf is bit 0 of dw1 (4.2).
    ['TLBI_NH_VA of the page, not only its leaf', 0x0012000000000012n, VA, true],
    ['TLBI_NH_VA of the leaf', 0x0012000000000012n, VA | 1n, false],
    ['TLBI_NH_VA of another 2 MiB', 0x0012000000000012n, VA + 0x200000n, false],
    ['TLBI_NH_VA of another ASID', 0x0013000000000012n, VA, false],
    ['TLBI_NH_VAA', 0x0000000000000013n, VA, true],
    ['TLBI_NH_VAA of the leaf', 0x0000000000000013n, VA | 1n, false],
    ['TLBI_NH_ASID', 0x0012000000000011n, 0n, true],
    ['TLBI_NH_ASID of another', 0x0013000000000011n, 0n, false],
    ['TLBI_NH_ALL', 0x10n, 0n, true],
    ['TLBI_NSNH_ALL', 0x30n, 0n, true],
    ['TLBI_EL2_ALL', 0x20n, 0n, false],
    ['CFGI_STE', 0x0000004200000003n, 1n, false],
    ['CFGI_CD', 0x0000004200005005n, 1n, false],
    ['CFGI_ALL', 0x4n, 0x1fn, false],
  ])('obeys %s (3.6)', (_name, dw0, dw1, forgets) => {
    const { rig, ask, move } = rigged({ hyp: true });
    ask(PAGE);
    move();
    rig.command(dw0, dw1);
    expect(ask(NEXT)).toBe(forgets ? 0x40201 : 0x40101);
  });

  it('drops every level that a range covers, and no other (TLBI by range)', () => {
    const { rig, ask, move } = rigged({ rangeInvalidation: true });
    ask(PAGE);
    move();
    // TG = 1 (4K), SCALE = 9: 512 pages from the next 2 MiB on; then from this one on, TTL = 3.
    rig.command(0x0012000000900012n, ((VA + 0x200000n) & ~0x1fffffn) | 0x400n);
    expect(ask(NEXT)).toBe(0x40101);
    rig.command(0x0012000000900012n, (VA & ~0x1fffffn) | 0x700n);
    expect(ask(NEXT)).toBe(0x40201);
  });

  it('keeps nothing of a table that is invalid or out of range (3.4)', () => {
    const { rig, ask, slot } = rigged();
    const good = rig.load(slot);
    rig.store(slot, 0n);
    expect(ask()).toBe('event 0x10');
    rig.store(slot, 0xf00000000003n);
    expect(ask()).toBe('event 0xb');
    rig.store(slot, good);
    // The table that does not exist is cached: an address size fault would not be.
    rig.command(0x0012000000000012n, VA);
    expect(ask()).toBe(0x40101);
  });

  it('remembers what tables take away (3.2)', () => {
    const { rig, ask, slot } = rigged();
    rig.store(slot, rig.load(slot) | (2n << 61n)); // APTable: no write
    ask(PAGE);
    expect(rig.translate(0x42, 5, NEXT, 2)).toBe('event 0x13');
  });

  it('tells oracles of every use, with the generation of the table (INV-2, INV-7)', () => {
    const uses: [string, string, boolean][] = [];
    const { rig, ask } = rigged();
    ask(PAGE);
    rig.kernel.observer = new (class extends Observer {
      override used(lines: CacheLines, i: number): void {
        uses.push([lines.name, lines.kind, rig.bus.memory.generationOf(lines.frame[i]) === lines.generation[i]]);
      }
    })();
    ask(NEXT);
    rig.kernel.observer = NO_OBSERVER;
    expect(uses).toEqual([['smmuv3@9050000 walk cache', 'tables', true]]);
  });

  it('is restored with its machine', () => {
    const { rig, ask, move } = rigged();
    ask(PAGE);
    rig.settle();
    const checkpoint = rig.kernel.checkpoints.take();
    for (let round = 0; round < 2; round++) {
      move();
      expect(ask(NEXT)).toBe(0x40101);
      rig.command(0x10n, 0n);
      rig.prod = 0;
      expect(ask(NEXT)).toBe(0x40201);
      checkpoint.restore();
    }
    expect(ask(NEXT)).toBe(0x40101);
  });
});
