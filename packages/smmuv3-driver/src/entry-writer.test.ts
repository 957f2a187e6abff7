import type { Coroutine, Step } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { CONTEXT_DESCRIPTOR, type EntryKind, EntryWriter, STREAM_ENTRY } from './index.js';

/** Eight 64-bit words, as people write them. */
type Qwords = readonly [bigint, bigint?, bigint?, bigint?, bigint?, bigint?, bigint?, bigint?];

function words(qwords: Qwords): Uint32Array {
  const entry = new Uint32Array(16);
  qwords.forEach((value, i) => {
    entry[2 * i] = Number(value! & 0xffff_ffffn);
    entry[2 * i + 1] = Number(value! >> 32n);
  });
  return entry;
}

function done<T>(value: T): Step<T> {
  return (function* () {
    return value;
  })();
}

/** What an update came to. */
interface Result {
  readonly syncs: number;
  /** At every sync hardware uses what the old or the new entry says, and the entry is valid. */
  readonly hitless: boolean;
  /** Hardware that fetches 64-bit words at any moments between two syncs never mixes two versions of a valid entry. */
  readonly whole: boolean;
}

/** Every entry that hardware may put together of words that were there since the last sync. */
function* mixtures(seen: readonly (readonly bigint[])[]): Generator<Uint32Array> {
  const counts = seen.map((values) => values.length);
  const total = counts.reduce((product, count) => product * count, 1);
  for (let n = 0; n < total; n++) {
    let rest = n;
    const picked = seen.map((values, i) => {
      const value = values[rest % counts[i]!]!;
      rest = Math.floor(rest / counts[i]!);
      return value;
    });
    yield words(picked as unknown as Qwords);
  }
}

/** Applies an update to an entry and looks at what hardware may use of it, at each sync and between them. */
function update(kind: EntryKind, from: Uint32Array, to: Uint32Array, Writer = EntryWriter): Result {
  const memory = from.slice();
  const safe = new Uint32Array(16);
  kind.safe(from, to, safe);
  const word = (i: number): bigint => (BigInt(memory[2 * i + 1]!) << 32n) | BigInt(memory[2 * i]!);
  const snapshot = (): bigint[][] => Array.from({ length: 8 }, (_, i) => [word(i)]);
  let seen = snapshot();
  let [syncs, hitless, whole] = [0, true, true];
  // What hardware uses of an entry is what the initial or the target entry says there, but for bits that may change at any
  // moment.
  const isVersion = (entry: Uint32Array): boolean => {
    const mask = new Uint32Array(16);
    kind.used(entry, mask);
    const same = (other: Uint32Array): boolean =>
      entry.every((bits, i) => ((bits ^ other[i]!) & mask[i]! & ~safe[i]!) === 0);
    return same(from) || same(to);
  };
  const isValid = (entry: Uint32Array): boolean => (kind === STREAM_ENTRY ? entry[0]! & 1 : entry[0]! >>> 31) === 1;
  const look = (): void => {
    for (const entry of mixtures(seen)) if (isValid(entry) && !isVersion(entry)) whole = false;
    seen = snapshot();
  };
  const writer = new Writer({
    loadWords(pa: number, out: Uint32Array) {
      out.set(memory.subarray(pa / 4, pa / 4 + out.length));
      return done(undefined);
    },
    store64(pa: number, lo: number, hi: number) {
      memory[pa / 4] = lo;
      memory[pa / 4 + 1] = hi;
      seen[pa / 8]!.push(word(pa / 8));
      return done(undefined);
    },
  } as unknown as EntryWriter['dma']);
  const entry = {
    kind,
    pa: 0,
    *sync(): Coroutine<void> {
      syncs++;
      look();
      if ((memory[0] === 0 && memory[1] === 0) || !isVersion(memory)) hitless = false;
    },
  };
  const run = writer.write(entry, to); // no yield*: run by hand
  while (run.next().done !== true); // no yield*: run by hand
  look();
  expect(memory).toEqual(to);
  return { syncs, hitless, whole };
}

// Literals by the bit positions of smmuv3.md 2.2. The pointer is 0xF0F0F0F0F0F0 masked to [51:6]; S1Fmt 2, S1CDMax 0x1f,
// S1CIR=S1COR=1, S1CSH=3, EATS=1, STALL-capable SMMU with a device that does not stall: S1STALLD.
const S1_DW0 = 0xf800_f0f0_f0f0_f0ebn;
const S1_DW1 = 0x1800_00d4n; // S1DSS 0
const abort: Qwords = [0x1n];
const bypass: Qwords = [0x9n, 0x1000_0000_0000n]; // SHCFG=1
const cdtable: Qwords = [S1_DW0, S1_DW1 | 2n]; // S1DSS=SSID0
const cdtableBypass: Qwords = [S1_DW0, S1_DW1 | 1n | 0x1000_0000_0000n];
const cdtableOther: Qwords = [0xf800_0000_0123_402bn, S1_DW1 | 1n | 0x1000_0000_0000n];
const stalling: Qwords = [S1_DW0, 0xd4n | 2n];
// Config 6, VMID 0 (stage 1 uses it too), VTCR fields, S2AA64, S2PTW, S2R, a table; EATS=1.
const s2: Qwords = [0xdn, 0x1000_1000_0000n, 0x044c_3510_0000_0000n, 0xdead_beef_0000n];
const s2Stall: Qwords = [0xdn, 0x1000_0000_0000n, 0x064c_3510_0000_0000n, 0xdead_beef_0000n];
const nestedBypass: Qwords = [S1_DW0 | 0x4n, S1_DW1 | 1n | 0x80000n | 0x1000_0000_0000n, s2[2]!, s2[3]!];
const s2NoAts: Qwords = [0xdn, 0x1000_0000_0000n, s2[2]!, s2[3]!];

describe('EntryWriter on stream table entries (SMMU-4, SMMU-5, SMMU-7)', () => {
  const rows: [string, Qwords, Qwords, number, boolean][] = [
    ['bypass_to_abort', bypass, abort, 2, true],
    ['abort_to_bypass', abort, bypass, 2, true],
    ['cdtable_to_abort', cdtable, abort, 2, true],
    ['abort_to_cdtable', abort, cdtable, 2, true],
    ['cdtable_to_bypass', cdtable, bypass, 3, true],
    ['bypass_to_cdtable', bypass, cdtable, 3, true],
    ['cdtable_s1dss_change', cdtable, cdtableBypass, 1, true],
    ['cdtable_s1dss_change, back', cdtableBypass, cdtable, 1, true],
    ['s1dssbypass_to_stebypass', cdtableBypass, bypass, 2, true],
    ['stebypass_to_s1dssbypass', bypass, cdtableBypass, 2, true],
    ['s2_to_abort', s2, abort, 2, true],
    ['abort_to_s2', abort, s2, 2, true],
    ['s2_to_bypass', s2, bypass, 2, true],
    ['bypass_to_s2', bypass, s2, 2, true],
    ['s1_to_s2', cdtable, s2, 3, true],
    ['s2_to_s1', s2, cdtable, 3, true],
    ['non_hitless', cdtable, cdtableOther, 3, false],
    ['s1_to_s2_stall', stalling, s2Stall, 3, true],
    ['s2_to_s1_stall', s2Stall, stalling, 3, true],
    ['nested_s1dssbypass_to_s1bypass', nestedBypass, s2NoAts, 3, true],
    ['nested_s1bypass_to_s1dssbypass', s2NoAts, nestedBypass, 2, true],
  ];
  it.each(rows)('syncs as often as it must: %s', (_, from, to, syncs, hitless) => {
    expect(update(STREAM_ENTRY, words(from), words(to))).toEqual({ syncs, hitless, whole: true });
  });

  it('needs break-before-make for nested entries without safe bits (SMMU-5)', () => {
    const strict = { ...STREAM_ENTRY, safe() {} };
    expect(update(strict, words(nestedBypass), words(s2NoAts))).toEqual({ syncs: 3, hitless: false, whole: true });
    expect(update(strict, words(s2NoAts), words(nestedBypass))).toEqual({ syncs: 3, hitless: false, whole: true });
  });
});

// By the bit positions of smmuv3.md 2.4: T0SZ 16, 4K, WB, inner, EPD1, V, IPS 44 bits, AA64, R, A, ASET, ASID 0x1d.
const sva: Qwords = [0x001d_e204_c000_3510n, 0x4321_f000n, 0n, 0xf404_ff44n];
const svaReleased: Qwords = [0x001d_e204_c000_4000n, 0n, 0n, 0xf404_ff44n];
const empty: Qwords = [0n];
const s1: Qwords = [0x030a_6204_8000_3510n, 0x1234_5000n, 0n, 0xf404_ff44n];
const s1OtherAsid: Qwords = [0x07cd_6204_8000_3510n, 0x1234_5000n, 0n, 0xf404_ff44n];

describe('EntryWriter on context descriptors (SMMU-3, SMMU-4, SMMU-7)', () => {
  const rows: [string, Qwords, Qwords, number, boolean][] = [
    ['s1_clear', empty, s1, 2, false],
    ['s1_clear, back', s1, empty, 2, false],
    ['s1_change_asid', s1, s1OtherAsid, 1, true],
    ['s1_change_asid, back', s1OtherAsid, s1, 1, true],
    ['sva_clear', empty, sva, 2, false],
    ['sva_clear, back', sva, empty, 2, false],
    ['sva_release', sva, svaReleased, 2, true],
    ['sva_release, back', svaReleased, sva, 2, true],
  ];
  it.each(rows)('syncs as often as it must: cd %s', (_, from, to, syncs, hitless) => {
    expect(update(CONTEXT_DESCRIPTOR, words(from), words(to))).toEqual({ syncs, hitless, whole: true });
  });

  it('does nothing for an entry that is what it should be', () => {
    expect(update(CONTEXT_DESCRIPTOR, words(sva), words(sva))).toEqual({ syncs: 0, hitless: true, whole: true });
  });
});

describe('an entry that hardware fetches in pieces (L48, TLB-4, SMMU-1)', () => {
  type Steps = Partial<EntryWriter>;
  const rows: [string, Steps, EntryKind, Uint32Array, Uint32Array][] = [
    [
      'teardown-zero-at-once',
      {
        *replaceHitless(this: EntryWriter, entry, change, target) {
          yield* this.storeRest(entry, change, target);
        },
      },
      CONTEXT_DESCRIPTOR,
      words(sva),
      words(empty),
    ],
    [
      'setup-present-first',
      {
        *replaceHitless(this: EntryWriter, entry, change, target) {
          yield* this.storeCritical(entry, change, target);
          yield* this.storeRest(entry, change, target);
        },
      },
      CONTEXT_DESCRIPTOR,
      words(empty),
      words(sva),
    ],
    [
      'replace-in-place',
      {
        *replaceInvalid(this: EntryWriter, entry, change, target) {
          yield* this.storeRest(entry, change, target);
        },
      },
      STREAM_ENTRY,
      words(cdtable),
      words(cdtableOther),
    ],
    ['zero-before-flush', { *sync() {} }, CONTEXT_DESCRIPTOR, words(sva), words(empty)],
  ];
  it.each(rows)('is torn with %s, and whole without', (_, steps, kind, from, to) => {
    class Broken extends EntryWriter {}
    Object.assign(Broken.prototype, steps);
    expect(update(kind, from, to, Broken).whole).toBe(false);
    expect(update(kind, from, to).whole).toBe(true);
  });
});
