import fc from 'fast-check';
import type { VtdParts } from '../src/index.js';
import { Rig, SID } from './rig.js';
import { type EntryCase, FlatEntry, shiftOf, type Word } from './walk-reference.js';

/** Mostly `usual`; now and then any of the others. */
const mostly = <T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(usual, ...others) });
const bit = fc.nat(1);

const capabilities = fc.record({
  sagaw: mostly(14, 2, 4, 6, 8),
  mgaw: fc.constantFrom(38, 47, 47, 56, 40),
  haw: fc.constantFrom(40, 46, 48, 52),
  fl5lp: mostly(true, false),
  fl1gp: fc.boolean(),
  sllps: fc.constantFrom(0, 1, 2, 3, 3),
  sc: fc.boolean(),
  slads: mostly(true, false),
  srs: mostly(true, false),
  ers: mostly(false, true),
  eafs: mostly(true, false),
  smpwcs: mostly(true, false),
  rprivs: fc.constant(true),
  pt: mostly(true, false),
  flts: mostly(true, false),
  slts: mostly(true, false),
  cacheReadOnly: fc.boolean(),
  cm: fc.boolean(),
});

const entry: fc.Arbitrary<EntryCase & { readonly tame: boolean }> = fc.record({
  pgtt: fc.constantFrom(1, 1, 1, 2, 2, 2, 4, 3, 0),
  aw: fc.constantFrom(1, 2, 2, 3, 0),
  flpm: fc.constantFrom(0, 0, 1),
  sre: bit,
  ere: bit,
  wpe: bit,
  eafe: bit,
  pwsnp: mostly(1, 0, 0),
  slade: bit,
  far: mostly(false, true),
  tame: mostly(true, false),
});

/** What is written at a place of an entry's tables. */
const mapping = fc.record({
  entry: fc.nat(2),
  upper: bit,
  base: fc.nat(3),
  offset: fc.nat(3),
  level: fc.constantFrom(1, 1, 1, 2, 2, 3, 4, 5),
  kind: mostly('leaf', 'bad', 'far', 'interrupt', 'interrupt', 'interrupt'),
  attributes: fc.nat(255),
  tables: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(31) }),
  frame: fc.nat(0xffff),
  odd: mostly(0, 1, 2, 3, 4, 5),
});
type Mapping = typeof mapping extends fc.Arbitrary<infer M> ? M : never;

const request = fc.record({
  /** Near the mapping of this number; -1: anywhere. */
  near: fc.oneof({ weight: 8, arbitrary: fc.nat(1000) }, { weight: 1, arbitrary: fc.constant(-1) }),
  entry: fc.nat(2),
  withPasid: mostly(true, false),
  upper: bit,
  base: fc.nat(3),
  offset: fc.nat(4),
  inside: fc.nat(2 ** 20 - 1),
  odd: mostly(0, 1, 2, 3),
  want: fc.constantFrom(1, 1, 2, 2, 4, 3, 5, 9, 10, 12, 11, 15),
  soft: mostly(false, true),
});
/** One request of a device. */
export type RequestCase = typeof request extends fc.Arbitrary<infer R> ? R : never;

/** Everything random about one machine. `warm`: caches are not emptied between requests. */
export const walkCase = fc.record({
  has: capabilities,
  mode: fc.constantFrom(1, 1, 1, 0, 2),
  ridPriv: fc.boolean(),
  warm: fc.boolean(),
  entries: fc.tuple(entry, entry, entry),
  mappings: fc.array(mapping, { minLength: 1, maxLength: 14, size: 'max' }),
  requests: fc.array(request, { minLength: 1, maxLength: 60, size: 'max' }),
});
/** See {@link walkCase}. */
export type WalkCase = typeof walkCase extends fc.Arbitrary<infer W> ? W : never;

const HOLE = 0x40_0000_0000n;

/**
 * A machine as a case says, in memory and as flat maps. In scalable mode the entries are those of PASIDs 1, 2 and 3, and RID_PASID is
 * 1. In legacy mode there is one, the context entry. In the extended mode the context entry is the second stage (entry 0), and
 * PASIDs 2 and 3 have first stages.
 */
export class WalkRig {
  readonly rig: Rig;
  readonly entries: readonly FlatEntry[];
  /** Where each entry lies. */
  readonly places = new Map<Word, number>();
  readonly tables = new Map<string, number>();

  constructor(
    readonly c: WalkCase,
    gait: 'atomic' | 'stepwise',
    parts: Partial<VtdParts> = {},
  ) {
    const { mode, has } = c;
    this.rig = new Rig({ ...has, ecs: true, gait, iotlbEntries: 16, walkEntries: 16 }, {}, parts);
    this.entries = c.entries.map((one, n) => new FlatEntry(this.tamed(one, n), has, mode === 2 && n === 0 ? 0 : mode));
    for (const m of c.mappings) this.map(m);
    this.configure();
    this.rig.enable(mode);
  }

  /** An entry as it is, or made legal for the capabilities, so that its tables are walked. */
  tamed(one: EntryCase & { readonly tame: boolean }, n: number): EntryCase {
    const { has, mode } = this.c;
    // Only PASID entries have these.
    if (mode === 0 || (mode === 2 && n === 0)) {
      const pgtt = one.pgtt === 4 ? 4 : 2;
      const plain = { ...one, pgtt, sre: 1, ere: 1, slade: 0, pwsnp: 1, eafe: 0, wpe: 0, flpm: 0 };
      return { ...plain, aw: this.width(one.aw), pgtt: pgtt === 4 && !has.pt ? 2 : pgtt };
    }
    if (mode === 2) {
      const { eafe, wpe } = this.c.entries[1];
      const common = { ...one, pgtt: 1, slade: 0, pwsnp: 1, wpe, eafe: has.eafs ? eafe : 0, ere: has.ers ? 1 : 0 };
      return { ...common, sre: has.srs ? one.sre : 0, flpm: has.fl5lp || !one.tame ? one.flpm : 0 };
    }
    if (!one.tame) return one;
    return {
      ...one,
      pgtt: one.pgtt === 0 || one.pgtt === 3 ? 1 : one.pgtt,
      aw: this.width(one.aw),
      flpm: has.fl5lp ? one.flpm : 0,
      sre: has.srs ? one.sre : 0,
      ere: has.ers ? one.ere : 0,
      eafe: has.eafs ? one.eafe : 0,
      pwsnp: has.smpwcs ? one.pwsnp : 0,
      slade: has.slads ? one.slade : 0,
    };
  }

  /** A width that the unit has. */
  width(aw: number): number {
    return (this.c.has.sagaw & (1 << aw)) !== 0 && aw > 0 ? aw : [1, 2, 3].find((n) => (this.c.has.sagaw >> n) & 1)!;
  }

  root(n: number): bigint {
    return this.entries[n].c.far ? HOLE : BigInt(this.table(n, this.entries[n].levels, 0n));
  }

  configure(): void {
    const { rig, c } = this;
    if (c.mode === 0) {
      const { aw, pgtt } = this.entries[0].c;
      rig.legacy(SID, 1, pgtt === 4 ? 2 : 1, Number(this.root(0)));
      const at = Number(rig.load(rig.root + 16) & ~0xfffn);
      rig.store(at + 8, BigInt(0x100 | aw));
      return;
    }
    if (c.mode === 2) return this.configureExtended();
    const directory = rig.context(SID, 0x1dn, 2, 1n | (c.ridPriv ? 1n << 20n : 0n));
    this.entries.forEach(({ c: one }, n) => {
      const at = rig.pasidAt(directory, n + 1);
      const root = this.root(n);
      const second = one.pgtt === 2 ? root : 0n;
      const qw1 = BigInt(n + 1) | (BigInt(one.pwsnp) << 23n);
      const qw2 =
        (one.pgtt === 2 ? 0n : root) |
        BigInt(one.sre | (one.ere << 1) | (one.flpm << 2) | (one.wpe << 4) | (one.eafe << 7));
      rig.store(at, BigInt(1 | (one.aw << 2) | (one.pgtt << 6) | (one.slade << 9)) | second, qw1, qw2);
    });
  }

  /** The context entry of 2.4: TT 1 or 5, PASIDE, PRE; PASID entries of 8 bytes. */
  configureExtended(): void {
    const { rig } = this;
    const { aw, pgtt } = this.entries[0].c;
    const { eafe, wpe, ere } = this.entries[1].c;
    const pasids = rig.frames(0);
    const tt = pgtt === 4 ? 5n : 1n;
    const qw1 = BigInt(aw | (wpe << 5)) | (1n << 8n) | (BigInt(eafe) << 25n) | (BigInt(ere) << 26n);
    rig.store(rig.contextAt(SID), this.root(0) | (tt << 2n) | 0xa01n, qw1, BigInt(pasids) | 1n, 0n);
    for (const n of [1, 2]) {
      const { flpm, sre } = this.entries[n].c;
      rig.store(pasids + (n + 1) * 8, this.root(n) | BigInt(1 | (flpm << 9) | (sre << 11)));
    }
  }

  /** The table of a level that holds the entries of `prefix`. */
  table(n: number, level: number, prefix: bigint): number {
    const key = `${n}:${level}:${prefix}`;
    let at = this.tables.get(key);
    if (at === undefined) {
      at = this.rig.frames(0);
      this.tables.set(key, at);
    }
    return at;
  }

  /** An address within the tables: one of a few, in either half. */
  address(n: number, upper: number, base: number, offset: number): bigint {
    const { bits, c } = this.entries[n];
    const low =
      (BigInt(base) << BigInt(bits - 12)) | (BigInt(base) << 30n) | (BigInt(offset) << 21n) | (BigInt(offset) << 12n);
    return upper === 1 && c.pgtt === 1 ? low | (1n << BigInt(bits - 1)) : low & ((1n << BigInt(bits - 1)) - 1n);
  }

  put(n: number, level: number, key: bigint, word: bigint, far: boolean): void {
    const entries = this.entries[n].entries;
    const prefix = key >> BigInt(shiftOf(level));
    const name = FlatEntry.key(level, prefix);
    if (entries.has(name)) return;
    const kept = { word, far };
    entries.set(name, kept);
    const at = this.table(n, level, prefix >> 9n) + Number(prefix & 511n) * 8;
    this.places.set(kept, at);
    this.rig.store(at, word);
  }

  map(m: Mapping): void {
    const one = this.entries[m.entry];
    const first = one.c.pgtt === 1;
    const key = this.address(m.entry, m.upper, m.base, m.offset);
    const target = Math.min(m.level, one.levels);
    for (let level = one.levels; level > target; level--) {
      const table = this.table(m.entry, level - 1, key >> BigInt(shiftOf(level)));
      this.put(m.entry, level, key, BigInt(table) | (first ? inner(m.tables) : innerSecond(m.tables)), false);
      const name = FlatEntry.key(level, key >> BigInt(shiftOf(level)));
      // What was there first decides: below a leaf, or what leads nowhere, there is nothing.
      const there = one.entries.get(name)!;
      if ((there.word & 0xf_ffff_ffff_f000n) !== BigInt(table)) return;
    }
    this.put(m.entry, target, key, this.leaf(m, target, first), m.kind === 'far' && target > 1);
  }

  leaf(m: Mapping, level: number, first: boolean): bigint {
    const { attributes: a } = m;
    if (m.kind === 'bad') return first ? BigInt(a << 1) & 0xfen : BigInt(a << 2) & 0xfcn;
    if (m.kind === 'far' && level > 1) return HOLE | (first ? inner(m.tables) : innerSecond(m.tables));
    const size = 1n << BigInt(shiftOf(level) - 12);
    const frame = m.kind === 'interrupt' ? 0xfee00n + BigInt(m.frame & 0x1ff) : BigInt(m.frame) << 8n;
    const base = ((frame & ~(size - 1n)) << 12n) | (level > 1 ? 0x80n : 0n) | odd(m.odd);
    if (!first) return base | BigInt(a & 7) | (BigInt(a >> 3) << 8n);
    // P, R/W, U/S, A, D, EA, XD.
    const low = 1 | (a & 6) | ((a & 0x18) << 2) | ((a & 0x20) << 5);
    return base | BigInt(low) | (BigInt((a >> 6) & 1) << 63n);
  }
}

/** A first-stage table entry: what its bits take away, and whether it was accessed. */
const inner = (t: number): bigint =>
  0x27n ^ BigInt((t & 3) << 1) ^ BigInt((t & 4) << 3) ^ (BigInt((t >> 3) & 1) << 63n) ^ (BigInt(t >> 4) << 10n);
/** A second-stage one. */
const innerSecond = (t: number): bigint => 3n ^ BigInt(t & 3) ^ BigInt((t & 4) << 6);
/** Bits that are reserved for some. */
const odd = (n: number): bigint => [0n, 1n << 62n, 0x800n, 1n << 51n, 0x1000n, 0x2000n][n];
