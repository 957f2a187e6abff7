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

/** Applies an update to an entry and looks at what hardware would use of it at each sync. */
function update(kind: EntryKind, from: Uint32Array, to: Uint32Array): { syncs: number; hitless: boolean } {
  const memory = from.slice();
  const used = (entry: Uint32Array): Uint32Array => {
    const mask = new Uint32Array(16);
    kind.used(entry, mask);
    return mask;
  };
  const safe = new Uint32Array(16);
  kind.safe(from, to, safe);
  let syncs = 0;
  let hitless = true;
  const writer = new EntryWriter({
    loadWords(pa: number, out: Uint32Array) {
      out.set(memory.subarray(pa / 4, pa / 4 + out.length));
      return done(undefined);
    },
    store64(pa: number, lo: number, hi: number) {
      memory[pa / 4] = lo;
      memory[pa / 4 + 1] = hi;
      return done(undefined);
    },
  } as unknown as EntryWriter['dma']);
  const entry = {
    kind,
    pa: 0,
    *sync(): Coroutine<void> {
      syncs++;
      const mask = used(memory);
      // What hardware uses of the entry as it stands is what the initial or the target entry says there, but for bits
      // that may change at any moment.
      const same = (other: Uint32Array): boolean =>
        memory.every((word, i) => ((word ^ other[i]!) & mask[i]! & ~safe[i]!) === 0);
      const invalid = memory[0] === 0 && memory[1] === 0;
      if (invalid || !(same(from) || same(to))) hitless = false;
    },
  };
  const run = writer.write(entry, to); // no yield*: run by hand
  while (run.next().done !== true); // no yield*: run by hand
  expect(memory).toEqual(to);
  return { syncs, hitless };
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
    expect(update(STREAM_ENTRY, words(from), words(to))).toEqual({ syncs, hitless });
  });

  it('needs break-before-make for nested entries without safe bits (SMMU-5)', () => {
    const strict = { ...STREAM_ENTRY, safe() {} };
    expect(update(strict, words(nestedBypass), words(s2NoAts))).toEqual({ syncs: 3, hitless: false });
    expect(update(strict, words(s2NoAts), words(nestedBypass))).toEqual({ syncs: 3, hitless: false });
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
    expect(update(CONTEXT_DESCRIPTOR, words(from), words(to))).toEqual({ syncs, hitless });
  });

  it('does nothing for an entry that is what it should be', () => {
    expect(update(CONTEXT_DESCRIPTOR, words(sva), words(sva))).toEqual({ syncs: 0, hitless: true });
  });
});
