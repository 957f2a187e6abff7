import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';

const space = fc.nat(1);
const page = fc.nat(4);
/** Mostly leaves that can be cached (valid and AF). */
const bits = fc.oneof(
  { weight: 4, arbitrary: fc.nat(15).map((high) => (high << 2) | 3) },
  { weight: 1, arbitrary: fc.nat(63) },
);

/** One thing that happens: a page is mapped, something is invalidated, or a request is made. */
const event = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('map' as const), space, page, frame: fc.nat(15), bits }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush-va' as const), space, page }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush-asid' as const), space }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('request' as const), space, page, want: fc.integer({ min: 1, max: 15 }) }),
  },
);
type Event = typeof event extends fc.Arbitrary<infer E> ? E : never;

interface Leaf {
  readonly frame: number;
  readonly bits: number;
}

/** Pages whose walks part at each of the four levels. */
const PAGES = [0, 1, 2 ** 9, 2 ** 18, 2 ** 27];

/** `bits` of a leaf: valid, AF, AP[1], AP[2], nG, UXN. */
const descriptor = (bits: number): bigint =>
  2n |
  BigInt(bits & 1) |
  (BigInt((bits >> 1) & 1) << 10n) |
  (BigInt((bits >> 2) & 1) << 6n) |
  (BigInt((bits >> 3) & 1) << 7n) |
  (BigInt((bits >> 4) & 1) << 11n) |
  (BigInt((bits >> 5) & 1) << 54n);

/**
 * The flat reference: what each address space maps, and what a TLB that never forgets would hold. A request may be served from
 * either; what it may not do is use a leaf that was neither in the table nor cached since its last invalidation.
 */
class Reference {
  readonly tables = [0, 1].map(() => new Map<number, Leaf>());
  /** Leaves that a walk has seen since they were last flushed, by space (2: global) and page. */
  readonly cached = new Map<string, Leaf[]>();

  hit(space: number, page: number): Leaf[] {
    return [...(this.cached.get(`${space}:${page}`) ?? []), ...(this.cached.get(`2:${page}`) ?? [])];
  }

  allowed(e: { space: number; page: number; want: number }): Set<number | string> {
    const now = this.tables[e.space].get(e.page);
    const answers = new Set<number | string>(this.hit(e.space, e.page).map((leaf) => judge(leaf, e.want)));
    answers.add(now === undefined ? 'event 0x10' : judge(now, e.want));
    if (now !== undefined && (now.bits & 3) === 3) {
      const key = `${(now.bits & 16) !== 0 ? e.space : 2}:${e.page}`;
      this.cached.set(key, [...(this.cached.get(key) ?? []), now]);
    }
    return answers;
  }

  flush(e: Extract<Event, { kind: 'flush-va' | 'flush-asid' }>): void {
    for (const key of [...this.cached.keys()]) {
      const [space, page] = key.split(':').map(Number);
      const covered =
        e.kind === 'flush-asid' ? space === e.space : page === e.page && (space === e.space || space === 2);
      if (covered) this.cached.delete(key);
    }
  }
}

function judge(leaf: Leaf, want: number): number | string {
  if ((leaf.bits & 1) === 0) return 'event 0x10';
  if ((leaf.bits & 2) === 0) return 'event 0x12';
  const user = (leaf.bits & 4) !== 0;
  const writable = (leaf.bits & 8) === 0;
  const executable = (leaf.bits & 32) === 0;
  const rights =
    (want & 8) === 0
      ? (user ? 1 : 0) | (user && writable ? 2 : 0) | (executable ? 4 : 0)
      : 1 | (writable ? 2 : 0) | (user && writable ? 0 : 4);
  return (want & 7 & ~rights) === 0 ? 0x40000 + leaf.frame : 'event 0x13';
}

describe('Translator', () => {
  it('agrees with a flat map for any tables, requests and invalidations, whatever the TLB keeps (3.4, 3.6)', () => {
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 20, maxLength: 80 }),
        fc.constantFrom(4, 16, 4096),
        (events, iotlbEntries) => {
          const rig = new Rig({ iotlbEntries }).enable();
          const table = rig.cdTable(0x42, 6);
          const roots = [0, 1].map((space) => rig.cd(table, space + 1, Rig.cd0(space + 1)));
          const reference = new Reference();
          for (const e of events) {
            if (e.kind === 'map') {
              reference.tables[e.space].set(e.page, { frame: e.frame, bits: e.bits });
              rig.map(roots[e.space], PAGES[e.page], 0x40000 + e.frame, descriptor(e.bits));
            } else if (e.kind === 'request') {
              const answer = rig.translate(0x42, e.space + 1, PAGES[e.page], e.want);
              expect(reference.allowed(e)).toContain(answer);
            } else {
              reference.flush(e);
              const asid = BigInt(e.space + 1) << 48n;
              if (e.kind === 'flush-va') rig.command(asid | 0x12n, BigInt(PAGES[e.page]) << 12n);
              else rig.command(asid | 0x11n, 0n);
            }
          }
        },
      ),
      { seed: 20, numRuns: 3000 },
    );
  });
});

describe('SmmuV3', () => {
  it('survives random commands, STEs, CDs, registers and messages without an exception', () => {
    const word = fc.bigInt(0n, 2n ** 64n - 1n);
    const action = fc.record({ kind: fc.nat(6), a: word, b: word, n: fc.nat(0xffff), opcode: fc.nat(0x47) });
    fc.assert(
      fc.property(fc.array(action, { minLength: 1, maxLength: 40 }), (actions) => {
        const rig = new Rig().enable();
        rig.frozen = true;
        const table = rig.cdTable(0x42, 6);
        const root = rig.cd(table, 5, Rig.cd0(1));
        const link = rig.link(0x42);
        for (const { kind, a, b, n, opcode } of actions) {
          const page = Number(a % 2n ** 52n);
          const pasid = (n % 8) - 1;
          if (kind === 0) rig.command((a & ~0xffn) | BigInt(opcode), b);
          else if (kind === 1) rig.ste(0x42, n % 2 === 0 ? a : (a & ~0xfn) | 0xbn, b);
          else if (kind === 2) rig.cd(table, 5, n % 2 === 0 ? a : Rig.cd0(1, a & 0x700f_0000_0000n), root);
          else if (kind === 3)
            rig.write(
              [0x20, 0x28, 0x2c, 0x44, 0x50, 0x64, 0x80, 0x88, 0x90, 0x98, 0x9c, 0xa0, 0xc0, 0x100ac][n % 14],
              Number(a % 2n ** 32n),
            );
          else if (kind === 4) rig.store(root + (n % 512) * 8, a);
          else if (kind === 5) {
            rig.deliver(
              link,
              { kind: 'page-request', pasid, prgi: n % 600, page, perm: n % 16, last: n % 3 === 0 },
              { kind: 'invalidate-completion', itags: Number(a % 2n ** 32n), count: n % 8 },
              { kind: 'interrupt' },
            );
          } else {
            rig.deliver(
              link,
              { kind: 'translation-request', tag: 1, pasid, page, count: n, noWrite: false, exec: true, priv: true },
              { kind: 'write', at: n % 4, pasid, page, offset: n % 5000, data: new Uint8Array(n % 300), witness: 0 },
              { kind: 'read', at: n % 4, tag: 2, pasid, page, offset: n % 5000, bytes: n, witness: 0 },
            );
          }
        }
      }),
      { seed: 21, numRuns: 1500 },
    );
  });
});
