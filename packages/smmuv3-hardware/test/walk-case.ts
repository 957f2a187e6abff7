import fc from 'fast-check';
import type { SmmuV3Parts } from '../src/index.js';
import { Rig } from './rig.js';
import {
  bitsOf,
  blockAllowed,
  type CdCase,
  covers,
  type Entry,
  FlatContext,
  groupAt,
  type HalfCase,
  type Has,
  isEl2,
  type Leaf,
  type SteCase,
  startOf,
  usesDs,
} from './walk-reference.js';

/** Mostly `usual`; now and then any of the others. */
const mostly = <T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 24, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(usual, ...others) });
const bit = fc.nat(1);

const capabilities = fc.record({
  granule4K: mostly(true, false),
  granule16K: mostly(true, false),
  granule64K: mostly(true, false),
  vax: fc.constantFrom(48, 52),
  ds: fc.boolean(),
  oas: fc.constantFrom(32, 40, 48, 52, 52),
  httu: fc.constantFrom('none', 'access', 'dirty', 'dirty'),
  hyp: fc.boolean(),
  permsOverride: fc.boolean(),
  stall: mostly('optional', 'none', 'forced'),
  ssidBits: mostly(20, 0, 3),
  cd2l: fc.boolean(),
  cacheReadOnly: fc.boolean(),
});

const ste = fc.record({
  v: mostly(1, 0),
  config: mostly(5, 0, 3, 4, 6, 7),
  s1cdMax: mostly(4, 0, 2, 5),
  s1dss: fc.nat(3),
  s1stalld: mostly(0, 1),
  eats: mostly(1, 0, 2),
  strw: mostly(0, 1, 2, 2, 3),
  privcfg: fc.nat(3),
  instcfg: fc.nat(3),
});

const half: fc.Arbitrary<HalfCase> = fc.record({
  g: fc.oneof({ weight: 20, arbitrary: fc.constantFrom(12, 12, 14, 16) }, { weight: 1, arbitrary: fc.constant(0) }),
  size: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(16, 17, 25, 28, 39) },
    { weight: 6, arbitrary: fc.integer({ min: 16, max: 39 }) },
    { weight: 3, arbitrary: fc.integer({ min: 12, max: 15 }) },
    { weight: 1, arbitrary: fc.constantFrom(0, 11, 40, 48) },
  ),
  epd: mostly(0, 1),
  tbi: bit,
  had: mostly(0, 1),
  far: mostly(0, 1, 2),
});

const cd: fc.Arbitrary<CdCase & { readonly tame: boolean }> = fc.record({
  v: mostly(1, 0),
  endi: mostly(0, 1),
  aa64: mostly(1, 0),
  ips: fc.constantFrom(0, 2, 4, 5, 5, 6, 6, 7),
  affd: mostly(0, 1),
  wxn: mostly(0, 1),
  pan: mostly(0, 1),
  hd: bit,
  ha: bit,
  s: mostly(0, 1),
  ds: bit,
  halves: fc.tuple(half, half),
  /** Made legal for the capabilities, so that its tables are walked. */
  tame: mostly(true, false),
});

/** A CD as it is, or with every field made legal that the capabilities and the STE make illegal. */
function tamed(one: CdCase & { readonly tame: boolean }, has: Has, s: SteCase): CdCase {
  if (!one.tame) return one;
  const offered = [has.granule4K ? 12 : 0, has.granule16K ? 14 : 0, has.granule64K ? 16 : 0].filter((g) => g > 0);
  const tameHalf = (h: HalfCase): HalfCase => {
    const g = offered.includes(h.g) ? h.g : offered[h.size % offered.length];
    const wide = g === 16 ? has.vax === 52 : usesDs(one, g, has);
    const size = Math.min(Math.max(h.size, wide ? 12 : 16), 39);
    return { ...h, g, size, far: h.far === 2 ? 0 : h.far };
  };
  return {
    ...one,
    v: 1,
    endi: 0,
    aa64: 1,
    ha: has.httu === 'none' ? 0 : one.ha,
    hd: has.httu === 'dirty' ? one.hd : 0,
    s: has.stall === 'forced' ? 1 : has.stall === 'none' || s.s1stalld === 1 ? 0 : one.s,
    halves: [tameHalf(one.halves[0]), tameHalf(one.halves[1])],
  };
}

/** What is written at a place of a context's tables. */
const mapping = fc.record({
  context: fc.nat(2),
  upper: bit,
  base: fc.nat(3),
  offset: fc.nat(3),
  level: fc.constantFrom(3, 3, 3, 2, 2, 1, 0),
  kind: mostly('leaf', 'bad', 'far', 'bad', 'far', 'bad', 'far'),
  attributes: fc.oneof({ weight: 1, arbitrary: fc.constant(0x8d) }, { weight: 2, arbitrary: fc.nat(255) }),
  tables: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(15) }),
  frame: fc.oneof(fc.nat(0xff), fc.nat(0xffff)),
  high: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(15) }),
  group: fc.boolean(),
});
type Mapping = typeof mapping extends fc.Arbitrary<infer M> ? M : never;

const request = fc.record({
  /** Near the mapping of this number; -1: anywhere. */
  near: fc.oneof({ weight: 8, arbitrary: fc.nat(1000) }, { weight: 1, arbitrary: fc.constant(-1) }),
  context: fc.nat(2),
  ssid: mostly(true, false),
  upper: bit,
  base: fc.nat(3),
  offset: fc.nat(4),
  inside: fc.nat(2 ** 20 - 1),
  odd: mostly(0, 1, 2, 3),
  want: fc.constantFrom(1, 1, 2, 2, 4, 3, 5, 9, 10, 12, 11, 15),
  translation: fc.constantFrom(false, false, false, true),
});
/** One request of a device. */
export type RequestCase = typeof request extends fc.Arbitrary<infer R> ? R : never;

/** Everything random about one machine. `warm`: caches are not emptied between requests. */
export const walkCase = fc
  .record({
    has: capabilities,
    ste,
    e2h: fc.boolean(),
    warm: fc.boolean(),
    cds: fc.tuple(cd, cd, cd),
    mappings: fc.array(mapping, { minLength: 1, maxLength: 14, size: 'max' }),
    requests: fc.array(request, { minLength: 1, maxLength: 120, size: 'max' }),
  })
  .map((c) => ({ ...c, cds: c.cds.map((one) => tamed(one, c.has, c.ste)) }));
/** See {@link walkCase}. */
export type WalkCase = typeof walkCase extends fc.Arbitrary<infer W> ? W : never;

const RAM_HOLE = 0x1000_0000n;

/** A machine as a case says, in memory and as flat maps. The contexts are those of SSIDs 1, 2 and 3. */
export class WalkRig {
  readonly rig: Rig;
  readonly contexts: readonly FlatContext[];
  readonly el2: boolean;
  /** Where each leaf lies. */
  readonly places = new Map<Leaf, { readonly address: number; readonly encode: () => bigint }>();
  /** Where each table lies: by context and key of the entry that leads to it. */
  readonly tables = new Map<string, number>();

  constructor(
    readonly c: WalkCase,
    gait: 'atomic' | 'stepwise',
    parts: Partial<SmmuV3Parts> = {},
  ) {
    this.rig = new Rig({ ...c.has, gait, iotlbEntries: 16, walkEntries: 16 }, {}, parts);
    this.el2 = isEl2(c.ste, c.has, c.e2h);
    this.contexts = c.cds.map((one) => new FlatContext(one, c.ste, c.has, this.el2));
    for (const m of c.mappings) this.map(m);
    this.configure();
  }

  configure(): void {
    const { rig, c } = this;
    rig.write(0x2c, 0x2 | (c.e2h ? 1 : 0));
    rig.write64(0x80, BigInt(rig.strtab));
    rig.write(0x88, 8);
    rig.write(0x20, 0x11);
    const { ste: s } = c;
    const table = rig.frames(0);
    const dw0 = BigInt(s.v) | (BigInt(s.config) << 1n) | BigInt(table) | (BigInt(s.s1cdMax) << 59n);
    const dw1 =
      BigInt(s.s1dss) |
      (BigInt(s.s1stalld) << 27n) |
      (BigInt(s.eats) << 28n) |
      (BigInt(s.strw) << 30n) |
      (BigInt(s.privcfg) << 48n) |
      (BigInt(s.instcfg) << 50n);
    rig.ste(0x42, dw0, dw1);
    for (const [n, one] of c.cds.entries()) this.writeCd(table + (n + 1) * 64, one, n);
    // Requests without an SSID use CD 0: a copy of the first.
    this.writeCd(table, c.cds[0], 0);
  }

  writeCd(at: number, one: CdCase, n: number): void {
    const { rig } = this;
    const [low, high] = one.halves;
    const tg0 = { 12: 0n, 16: 1n, 14: 2n }[low.g] ?? 3n;
    const tg1 = { 14: 1n, 12: 2n, 16: 3n }[high.g] ?? 0n;
    const dw0 =
      BigInt(low.size) |
      (tg0 << 6n) |
      (BigInt(low.epd) << 14n) |
      (BigInt(one.endi) << 15n) |
      (BigInt(high.size) << 16n) |
      (tg1 << 22n) |
      (BigInt(high.epd) << 30n) |
      (BigInt(one.v) << 31n) |
      (BigInt(one.ips) << 32n) |
      (BigInt(one.affd) << 35n) |
      (BigInt(one.wxn) << 36n) |
      (BigInt(low.tbi) << 38n) |
      (BigInt(high.tbi) << 39n) |
      (BigInt(one.pan) << 40n) |
      (BigInt(one.aa64) << 41n) |
      (BigInt(one.hd) << 42n) |
      (BigInt(one.ha) << 43n) |
      (BigInt(one.s) << 44n) |
      (3n << 45n) |
      (BigInt(n + 1) << 48n);
    rig.store(at + 8, BigInt(low.had << 1) | this.ttb(n, 0));
    rig.store(at + 16, BigInt(high.had << 1) | this.ttb(n, 1) | (BigInt(one.ds) << 58n));
    rig.store(at, dw0);
  }

  ttb(n: number, upper: number): bigint {
    const { far, g } = this.c.cds[n].halves[upper];
    if (far !== 0 || g === 0) return far === 2 ? 1n << 55n : RAM_HOLE;
    return BigInt(this.table(`${n}:${upper}`, g));
  }

  /** The table that an entry leads to, or the first one: a page of the granule. */
  table(key: string, g: number): number {
    const known = this.tables.get(key);
    if (known !== undefined) return known;
    const made = this.rig.frames(g - 12);
    this.tables.set(key, made);
    return made;
  }

  /** An address in a half: one of four places, a few pages further. */
  address(half: HalfCase, upper: number, base: number, offset: number): bigint {
    const bits = BigInt(64 - half.size);
    const size = 1n << bits;
    const page = 1n << BigInt(half.g);
    const from = [
      0n,
      size / 2n,
      size - 4n * page,
      (0x1234_5678_9abc_def0n % size) - ((0x1234_5678_9abc_def0n % size) % page),
    ];
    const within = (from[base] + BigInt(offset) * page) % size;
    return upper === 1 ? (1n << 64n) - size + within : within;
  }

  /** Writes one entry, and the tables above it, unless something else is in the way. */
  map(m: Mapping): void {
    const context = this.contexts[m.context];
    const h = context.cd.halves[m.upper];
    if (h.g === 0 || h.far !== 0 || h.size < 12 || h.size > 39 || startOf(h) < -1) return;
    const va = this.address(h, m.upper, m.base, m.offset) & ((1n << BigInt(64 - h.size)) - 1n);
    const level = Math.max(m.level, startOf(h));
    let table = this.table(`${m.context}:${m.upper}`, h.g);
    for (let l = startOf(h); l < level; l++) {
      const key = FlatContext.key(m.upper, l, va >> BigInt(covers(h.g, l)));
      const entry = context.entries.get(key);
      if (entry !== undefined && entry.kind !== 'table') return;
      const next = this.table(`${m.context}:${key}`, h.g);
      const attributes = entry?.kind === 'table' ? entry.attributes : m.tables;
      context.entries.set(key, { kind: 'table', attributes });
      this.rig.store(this.slot(table, h, l, va), this.oa(m, h, BigInt(next)) | (BigInt(attributes) << 59n) | 3n);
      table = next;
    }
    this.place(m, h, va, level, table);
  }

  slot(table: number, h: HalfCase, level: number, va: bigint): number {
    return table + 8 * Number((va >> BigInt(covers(h.g, level))) % (1n << BigInt(bitsOf(h.g))));
  }

  /** The address bits of a descriptor (3.2). */
  oa(m: Mapping, h: HalfCase, address: bigint): bigint {
    const one = this.c.cds[m.context];
    if (usesDs(one, h.g, this.c.has)) return (address & ((1n << 50n) - 1n)) | (((address >> 50n) & 3n) << 8n);
    if (h.g === 16 && this.c.has.oas === 52) {
      return (address & ((1n << 48n) - 1n)) | (((address >> 48n) & 15n) << 12n);
    }
    return address & ((1n << 48n) - 1n);
  }

  place(m: Mapping, h: HalfCase, va: bigint, level: number, table: number): void {
    const context = this.contexts[m.context];
    const { cd: one, entries } = context;
    const ds = usesDs(one, h.g, this.c.has);
    const kind = m.kind === 'leaf' && level < 3 && !blockAllowed(h.g, level, ds, this.c.has.oas) ? 'bad' : m.kind;
    const shift = BigInt(covers(h.g, level));
    const bits = ds || (h.g === 16 && this.c.has.oas === 52) ? 52n : 48n;
    if (kind !== 'leaf') {
      const key = FlatContext.key(m.upper, level, va >> shift);
      if (entries.has(key)) return;
      // At level 3 a table is a page.
      const far: Entry = { kind: 'far', address: (1n << (33n + BigInt(m.high))) % (1n << bits) || RAM_HOLE };
      const entry: Entry = kind === 'far' && level < 3 ? far : { kind: 'bad' };
      entries.set(key, entry);
      // Invalid; a block at level 3; or a block where there is none.
      const bad = level === 3 && m.high > 7 ? 1n : m.kind === 'leaf' ? 1n : 0n;
      const junk = BigInt(m.frame) << 12n;
      this.rig.store(
        this.slot(table, h, level, va),
        entry === far ? this.oa(m, h, far.address) | 3n : junk | (BigInt(m.attributes) << 2n) | bad,
      );
      return;
    }
    // A first table that is smaller than a group has none.
    const count = Math.min(64 - h.size - covers(h.g, level), bitsOf(h.g));
    const group = m.group && groupAt(h.g, level) <= count ? groupAt(h.g, level) : 0;
    const first = ((va >> shift) >> BigInt(group)) << BigInt(group);
    for (let n = 0n; n < 1n << BigInt(group); n++) {
      if (entries.has(FlatContext.key(m.upper, level, first + n))) return;
    }
    const mask = (1n << (shift + BigInt(group))) - 1n;
    const base =
      (((BigInt(m.frame) << 16n) | (BigInt(m.high) << 44n) | (BigInt(m.high) << 48n)) & ~mask) % (1n << bits);
    for (let n = 0n; n < 1n << BigInt(group); n++) this.leaf(m, h, level, table, first + n, base + (n << shift), group);
  }

  leaf(m: Mapping, h: HalfCase, level: number, table: number, prefix: bigint, oa: bigint, group: number): void {
    const a = m.attributes;
    const leaf: Leaf = {
      kind: 'leaf',
      oa,
      group,
      ap: a & 3,
      af: (a & 12) !== 0,
      dbm: (a & 16) !== 0,
      pxn: (a & 32) !== 0,
      uxn: (a & 64) !== 0,
    };
    // Where caches stay warm, a global page would be other contexts' too.
    const ng = this.c.warm || (a & 128) !== 0;
    const encode = (): bigint =>
      this.oa(m, h, oa) |
      (level === 3 ? 3n : 1n) |
      (BigInt(leaf.ap) << 6n) |
      (leaf.af ? 1n << 10n : 0n) |
      (ng ? 1n << 11n : 0n) |
      (leaf.dbm ? 1n << 51n : 0n) |
      (group === 0 ? 0n : 1n << 52n) |
      (leaf.pxn ? 1n << 53n : 0n) |
      (leaf.uxn ? 1n << 54n : 0n);
    const address = this.slot(table, h, level, prefix << BigInt(covers(h.g, level)));
    this.contexts[m.context].entries.set(FlatContext.key(m.upper, level, prefix), leaf);
    this.places.set(leaf, { address, encode });
    this.rig.store(address, encode());
  }
}
