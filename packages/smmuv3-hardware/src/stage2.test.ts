import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';
import { DW2, LEAF, RW, SID, type Stage2Fields, Stage2Rig } from '../test/stage2-rig.js';

const READ = 1;
const WRITE = 2;
const EXEC = 4;
const PRIVILEGED = 8;
const IPA = 0x7654_3210_0000n & ((1n << 39n) - 1n);
const PA = 0x4567_8000n;
const FRAME = 0x45678;
const SYNC = 0x0fc02046n;
const C_BAD_STE = ['0x0000004200000004', '0x0000000000000000', '0x0000000000000000', '0x0000000000000000'];

/** dw1 of an event at stage 2, CLASS = IN: for a read, RnW too. */
const S2_IN = 0x280_0000_0000n;
const RNW = 0x8_0000_0000n;
const word = (value: bigint): string => `0x${value.toString(16).padStart(16, '0')}`;
/** The record of a fault at stage 2 (5.2): the IPA is the page of the input address. */
const fault = (id: number, kind: 'read' | 'write', ipa: bigint): string[] => [
  word(0x42_0000_0000n | BigInt(id)),
  word(S2_IN | (kind === 'read' ? RNW : 0n)),
  word(ipa),
  word(ipa & ~0xfffn),
];

describe('stage 2 in the ID registers (smmuv3.md 1.2, 1.4)', () => {
  it.each([
    [{}, 0b10, 0],
    [{ stage2: true }, 0b11, 1],
    [{ stage2: true, stage1: false }, 0b01, 1],
  ])('%o: S1P and S2P are as asked for, XNX goes with stage 2', (capabilities, stages, xnx) => {
    const rig = new Rig(capabilities);
    expect(rig.read(0) & 3).toBe(stages);
    expect((rig.read(0xc) >>> 4) & 1).toBe(xnx);
    expect((rig.read(0) >>> 18) & 1).toBe(1);
  });

  it('refuses an SMMU without any stage', () => {
    expect(() => new Rig({ stage1: false })).toThrow(/cannot have no stage/);
  });
});

describe('stage-2 walks (smmuv3.md 2.2, 3.1)', () => {
  it.each<[string, Stage2Fields, Record<string, number>, number]>([
    ['4K from level 0', { bits: 48, sl0: 2 }, {}, 3],
    ['4K from level 1', { bits: 39, sl0: 1 }, {}, 3],
    ['4K, 16 tables at level 1', { bits: 43, sl0: 1 }, {}, 3],
    ['4K from level 2', { bits: 30, sl0: 0 }, {}, 3],
    ['4K, 16 tables at level 2', { bits: 34, sl0: 0 }, {}, 3],
    ['4K, a block of 2 MiB', { bits: 40, sl0: 1 }, {}, 2],
    ['4K, a block of 1 GiB', { bits: 40, sl0: 1 }, {}, 1],
    ['16K from level 1', { granule: '16K', bits: 47, sl0: 2 }, {}, 3],
    ['16K, 2 tables at level 1', { granule: '16K', bits: 48, sl0: 2 }, {}, 3],
    ['16K, 16 tables at level 2', { granule: '16K', bits: 40, sl0: 1 }, {}, 3],
    ['16K, a block of 32 MiB', { granule: '16K', bits: 47, sl0: 2 }, {}, 2],
    ['64K from level 1', { granule: '64K', bits: 48, sl0: 2 }, {}, 3],
    ['64K, 16 tables at level 2', { granule: '64K', bits: 46, sl0: 1 }, {}, 3],
    ['64K, a block of 512 MiB', { granule: '64K', bits: 42, sl0: 1 }, {}, 2],
    ['64K from level 3', { granule: '64K', bits: 29, sl0: 0 }, {}, 3],
    ['64K, 52 bits', { granule: '64K', bits: 52, sl0: 2, ps: 6 }, { oas: 52 }, 3],
  ])('%s: finds the page at both ends of the range', (_what, fields, capabilities, level) => {
    const s2 = new Stage2Rig(fields, capabilities);
    const { bits = 48, granule = '4K' } = fields;
    const shift = granule === '64K' ? 16n : granule === '16K' ? 14n : 12n;
    const size = 1n << (shift + (shift - 3n) * BigInt(3 - level));
    for (const ipa of [0n, (1n << BigInt(bits)) - size]) {
      s2.map(ipa, 0x80_0000_0000n + (ipa === 0n ? 0n : 0x40_0000_0000n), RW, level);
    }
    const inside = 0x3000n % size;
    expect(s2.translate(inside, WRITE)).toBe(0x8000000 + Number(inside >> 12n));
    expect(s2.translate((1n << BigInt(bits)) - 0x1000n)).toBe(0xc000000 + Number(size >> 12n) - 1);
    expect(s2.translate(1n << BigInt(bits))).toBe(bits < 48 || capabilities.oas === 52 ? beyond(bits) : 'event 0x11');
  });

  const beyond = (bits: number): string => (bits === 52 ? 'event 0x11' : 'event 0x10');

  it('finds 52-bit addresses of 4K pages with S2DS from level -1, and of 16K pages from level 0', () => {
    const wide = { oas: 52, ds: true };
    // SL0_2 and SL0 are 0b100: level -1.
    const s2 = new Stage2Rig({ bits: 52, sl0: 0, ps: 6, dw3: 0xcn }, wide);
    const { rig } = s2;
    const tables = [0, 1, 2, 3].map(() => rig.frames(0));
    rig.store(s2.ttb + 15 * 8, BigInt(tables[0]!) | 3n);
    tables.forEach((table, i) => {
      const leaf = 0x1_2345_6000n | RW | 2n;
      rig.store(table + 511 * 8, i === 3 ? leaf & ~0x300n : BigInt(tables[i + 1]!) | 3n);
    });
    expect(s2.translate(0xf_ffff_ffff_f000n)).toBe(0x123456);
    const s16 = new Stage2Rig({ granule: '16K', bits: 52, sl0: 3, ps: 6, dw3: 0x8n }, wide);
    s16.map(0xf_ffff_ffff_c000n, 0x1_2345_4000n, RW & ~0x300n);
    expect(s16.translate(0xf_ffff_ffff_c000n)).toBe(0x123454);
  });

  it('takes a contiguous group as one translation (3.1)', () => {
    const s2 = new Stage2Rig({ bits: 40, sl0: 1 });
    for (let n = 0n; n < 16n; n++) s2.map(0x10000n + (n << 12n), 0x2_0000n + (n << 12n), RW | LEAF.CONTIGUOUS);
    const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
    expect(s2.rig.smmu.translate(SID, -1, 0x17, READ, out)).toBe(true);
    expect(out).toMatchObject({ frame: 0x27, perm: READ | WRITE | EXEC, log2Size: 16, level: 3 });
  });

  it('ignores what stage-1 tables would inherit and share: bits 63:59 of tables, bit 11 of pages', () => {
    const s2 = new Stage2Rig({ bits: 40, sl0: 1 });
    s2.map(IPA, PA);
    const table = s2.slot(IPA, 2);
    s2.rig.store(table, s2.rig.load(table) | (0xfn << 60n));
    expect(s2.translate(IPA, WRITE)).toBe(FRAME);
    expect(s2.rig.smmu.iotlb.globals.exist).toBe(false);
  });
});

describe('rights at stage 2 (smmuv3.md 3.2)', () => {
  it.each<[string, bigint, readonly number[]]>([
    ['S2AP 00', RW & ~LEAF.READ & ~LEAF.WRITE, []],
    ['S2AP 01', RW & ~LEAF.WRITE, [READ, EXEC, EXEC | PRIVILEGED]],
    ['S2AP 10', RW & ~LEAF.READ, [WRITE]],
    ['S2AP 11', RW, [READ, WRITE, EXEC, EXEC | PRIVILEGED]],
    ['XN 01', RW | (1n << 53n), [READ, WRITE, EXEC]],
    ['XN 10', RW | (2n << 53n), [READ, WRITE]],
    ['XN 11', RW | (3n << 53n), [READ, WRITE, EXEC | PRIVILEGED]],
  ])('%s grants what it says', (_what, leaf, granted) => {
    const s2 = new Stage2Rig();
    s2.map(IPA, PA, leaf);
    for (const want of [READ, WRITE, EXEC, EXEC | PRIVILEGED]) {
      expect(s2.translate(IPA, want), `want ${want}`).toBe(granted.includes(want) ? FRAME : 'event 0x13');
    }
  });

  it('sets the Access flag with S2HA, and S2AP[1] of a page with DBM with S2HD (3.5)', () => {
    const s2 = new Stage2Rig({ set: DW2.HA | DW2.HD }, { httu: 'dirty' });
    const clean = (RW | LEAF.DBM) & ~LEAF.AF & ~LEAF.WRITE;
    s2.map(IPA, PA, clean);
    const slot = s2.slot(IPA, 3);
    expect(s2.translate(IPA, READ)).toBe(FRAME);
    expect(s2.rig.load(slot)).toBe(PA | clean | 2n | LEAF.AF);
    expect(s2.translate(IPA, WRITE)).toBe(FRAME);
    expect(s2.rig.load(slot)).toBe(PA | clean | 2n | LEAF.AF | LEAF.WRITE);
  });

  it('does not fault for AF = 0 with S2AFFD', () => {
    const s2 = new Stage2Rig({ set: DW2.AFFD });
    s2.map(IPA, PA, RW & ~LEAF.AF);
    expect(s2.translate(IPA)).toBe(FRAME);
  });
});

describe('an STE of stage 2 is ILLEGAL (smmuv3.md 2.2)', () => {
  it.each<[string, Stage2Fields, Record<string, string | number | boolean>]>([
    ['stage 2 is not implemented', {}, { stage2: false }],
    ['S2AA64 = 0', { clear: DW2.AA64 }, {}],
    ['S2ENDI = 1', { set: DW2.ENDI }, {}],
    ['S2TG is reserved', { set: 3n << 46n }, {}],
    ['the granule is not implemented', { granule: '16K', bits: 47 }, { granule16K: false }],
    ['S2T0SZ is beyond the range', { bits: 49 }, {}],
    ['S2T0SZ is beyond OAS', { bits: 45, sl0: 2 }, { oas: 44 }],
    ['S2T0SZ is above 39', { bits: 24, sl0: 0 }, {}],
    ['more than 16 tables would be needed', { bits: 44, sl0: 1 }, {}],
    ['no bit is left for the start level', { bits: 39, sl0: 2 }, {}],
    ['4K from level 3', { bits: 25, sl0: 3 }, {}],
    ['4K from level 0 with 42-bit addresses', { bits: 42, sl0: 2 }, { oas: 42 }],
    ['16K from level 0 without S2DS', { granule: '16K', bits: 48, sl0: 3 }, {}],
    ['64K from level 0', { granule: '64K', bits: 48, sl0: 3 }, {}],
    ['S2TTB is beyond OAS', { dw3: 1n << 48n }, {}],
    ['S2S = 1 where nothing stalls', { set: DW2.S }, { stall: 'none' }],
    ['S2S = 0 where everything stalls', {}, { stall: 'forced' }],
    ['S2HA without flag updates', { set: DW2.HA }, {}],
    ['S2HD without dirty state', { set: DW2.HD | DW2.HA }, { httu: 'access' }],
    ['a VMID of 9 bits without VMID16', { vmid: 0x100 }, { vmid16: false }],
    ['split-stage ATS', { dw1: 2n << 28n }, {}],
    ['full ATS with S2S = 1', { dw1: 1n << 28n, set: DW2.S }, {}],
  ])('where %s', (_what, fields, capabilities) => {
    const s2 = new Stage2Rig(fields, capabilities);
    expect(s2.send('read', IPA)).toEqual([C_BAD_STE]);
  });

  it('where both stages translate, which is not implemented', () => {
    const s2 = new Stage2Rig();
    s2.rig.store(s2.rig.strtab + SID * 64, 0xfn);
    expect(s2.send('read', IPA)).toEqual([C_BAD_STE]);
  });

  it('where stage 1 translates, and is not implemented', () => {
    const rig = new Rig({ stage1: false, stage2: true }).enable();
    rig.ste(SID, 0xbn);
    expect(rig.translate(SID, -1, 1)).toBe('event 0x4');
  });
});

describe('faults at stage 2 (smmuv3.md 3.3, 5.1, 5.2)', () => {
  const cases: readonly (readonly [string, number, (s2: Stage2Rig) => void, 'read' | 'write'])[] = [
    ['F_TRANSLATION: nothing is mapped', 0x10, () => {}, 'read'],
    ['F_TRANSLATION: 0b01 at level 3', 0x10, (s2) => s2.rig.store(s2.slot(IPA, 3), PA | RW), 'read'],
    ['F_ADDR_SIZE: the page is beyond S2PS', 0x11, (s2) => s2.map(IPA, 1n << 40n), 'write'],
    ['F_ACCESS: AF = 0', 0x12, (s2) => s2.map(IPA, PA, RW & ~LEAF.AF), 'read'],
    ['F_PERMISSION: no right to write', 0x13, (s2) => s2.map(IPA, PA, RW & ~LEAF.WRITE), 'write'],
    ['F_PERMISSION: no right to read', 0x13, (s2) => s2.map(IPA, PA, RW & ~LEAF.READ), 'read'],
  ];

  it.each(cases)('%s: S2 = 1, CLASS = IN, the page as IPA', (_what, id, prepare, kind) => {
    const s2 = new Stage2Rig({ bits: 40, sl0: 1, ps: 2 });
    prepare(s2);
    expect(s2.send(kind, IPA + 0x123n)).toEqual([fault(id, kind, IPA + 0x123n)]);
  });

  it.each(cases)('%s: silent with S2R = 0', (_what, _id, prepare, kind) => {
    const s2 = new Stage2Rig({ bits: 40, sl0: 1, ps: 2, clear: DW2.R });
    prepare(s2);
    expect(s2.send(kind, IPA)).toEqual([]);
  });

  it('F_WALK_EABT: S2 = 1, CLASS = IN, and the address of the fetch, also with S2R = 0', () => {
    const s2 = new Stage2Rig({ clear: DW2.R });
    s2.rig.store(s2.slot(IPA, 0), BigInt(Rig.abortAddress) | 3n);
    const at = BigInt(Rig.abortAddress) + (IPA >> 30n) * 8n;
    expect(s2.send('read', IPA)).toEqual([[word(0x42_0000_000bn), word(S2_IN | RNW), word(IPA), word(at)]]);
  });

  it('F_TRANSLATION where the input address is beyond S2T0SZ', () => {
    const s2 = new Stage2Rig({ bits: 40, sl0: 1 });
    expect(s2.send('write', 1n << 40n)).toEqual([fault(0x10, 'write', 1n << 40n)]);
  });

  it('F_ADDR_SIZE of no stage where the input address is beyond IAS, whatever S2R says (3.3)', () => {
    const s2 = new Stage2Rig({ bits: 40, sl0: 1, clear: DW2.R }, { oas: 44 });
    const ipa = 1n << 44n;
    const record = [word(0x42_0000_0011n), word(0x208_0000_0000n), word(ipa), word(0n)];
    expect(s2.send('read', ipa)).toEqual([record]);
    expect(s2.translate(ipa - 1n), 'the last address within').toBe('event 0x10');
  });

  it('C_BAD_SUBSTREAMID for a request with a SubstreamID: stage 1 is off', () => {
    const s2 = new Stage2Rig();
    s2.map(IPA, PA);
    expect(s2.send('read', IPA, 3)).toEqual([
      ['0x0000004200003008', '0x0000000000000000', '0x0000000000000000', '0x0000000000000000'],
    ]);
  });

  it('stalls with S2S where the device can be held back, and goes on when it is resumed (5.4)', () => {
    const s2 = new Stage2Rig({ set: DW2.S });
    const { rig } = s2;
    const link = rig.link(SID, true);
    const page = Number(IPA >> 12n);
    rig.deliver(link, { kind: 'read', tag: 1, bytes: 4, at: 0, pasid: -1, page, offset: 0, witness: 0 });
    const [dw0, dw1, dw2, dw3] = fault(0x10, 'read', IPA);
    expect(rig.events()).toEqual([[dw0, word(BigInt(dw1!) | 0x8000_0000n), dw2, dw3]]);
    expect(link.sent).toEqual([]);
    s2.map(IPA, BigInt(rig.frames(0)));
    rig.command(0x0000_0042_0000_1044n, 0n, SYNC, 0n);
    expect(link.sent).toMatchObject([{ kind: 'completion', status: 'ok' }]);
  });

  it('answers an ATS translation request by stage 2 (EATS = 1)', () => {
    const s2 = new Stage2Rig({ dw1: 1n << 28n });
    s2.map(IPA, PA, RW & ~LEAF.WRITE);
    const link = s2.rig.link(SID);
    const request = {
      kind: 'translation-request',
      tag: 4,
      pasid: -1,
      count: 1,
      noWrite: false,
      exec: false,
      priv: false,
    } as const;
    s2.rig.deliver(link, { ...request, page: Number(IPA >> 12n) }, { ...request, tag: 5, page: 5 });
    const [mapped, unmapped] = link.sent as unknown as { status: string; entries: Uint32Array }[];
    expect(mapped!.status).toBe('ok');
    // Read, not write, and the page.
    expect([mapped!.entries[0]! & 3, mapped!.entries[1]]).toEqual([1, 0]);
    expect(mapped!.entries[0]! >>> 12).toBe(FRAME);
    expect(unmapped).toMatchObject({ status: 'ok' });
    expect(unmapped!.entries[0]! & 3).toBe(0);
    expect(s2.rig.events()).toEqual([]);
  });
});

describe('what the TLB keeps of stage 2 (smmuv3.md 3.6, 4.2)', () => {
  /** Two streams of one VMID with one set of tables, one of another VMID, and a page that each has used. */
  function used() {
    const first = new Stage2Rig({ vmid: 7 });
    first.map(IPA, PA);
    first.map(IPA + 0x1000n, PA + 0x1000n);
    const other = new Stage2Rig({ vmid: 8 }, {}, 0x43, first.rig);
    other.map(IPA, PA);
    expect(first.translate(IPA)).toBe(FRAME);
    expect(first.translate(IPA + 0x1000n)).toBe(FRAME + 1);
    expect(other.translate(IPA, READ, 0x43)).toBe(FRAME);
    for (const tables of [first, other]) {
      tables.map(IPA, 0n, 0n, 3);
      tables.map(IPA + 0x1000n, 0n, 0n, 3);
    }
    const seen = () => [
      first.translate(IPA) === FRAME,
      first.translate(IPA + 0x1000n) === FRAME + 1,
      other.translate(IPA, READ, 0x43) === FRAME,
    ];
    return { rig: first.rig, seen };
  }

  it.each<[string, bigint, bigint, readonly boolean[]]>([
    ['nothing', SYNC, 0n, [true, true, true]],
    ['TLBI_S2_IPA', 0x0000_0007_0000_002an, IPA | 1n, [false, true, true]],
    ['TLBI_S2_IPA of another page', 0x0000_0007_0000_002an, 0x1000n, [true, true, true]],
    ['TLBI_S12_VMALL', 0x0000_0007_0000_0028n, 0n, [false, false, true]],
    ['TLBI_S12_VMALL of another VMID', 0x0000_0009_0000_0028n, 0n, [true, true, true]],
    ['TLBI_NSNH_ALL', 0x30n, 0n, [false, false, false]],
    ['TLBI_NH_ALL, which is about stage 1', 0x0000_0007_0000_0010n, 0n, [true, true, true]],
    ['TLBI_NH_VAA, which is about stage 1', 0x0000_0007_0000_0013n, IPA, [true, true, true]],
  ])('loses with %s what it should', (_what, dw0, dw1, left) => {
    const { rig, seen } = used();
    expect(seen(), 'kept until it is invalidated').toEqual([true, true, true]);
    rig.command(dw0, dw1, SYNC, 0n);
    expect(rig.error).toBe(0);
    expect(seen()).toEqual(left);
  });

  it('keeps one translation for every stream of a VMID', () => {
    const first = new Stage2Rig({ vmid: 7 });
    first.map(IPA, PA);
    expect(first.translate(IPA)).toBe(FRAME);
    first.map(IPA, 0n, 0n);
    const second = new Stage2Rig({ vmid: 7 }, {}, 0x43, first.rig);
    expect(second.translate(IPA, READ, 0x43)).toBe(FRAME);
  });

  it('loses stage 1 of the VMID with TLBI_S12_VMALL too', () => {
    const rig = new Rig({ stage2: true }).enable();
    const table = rig.cdTable(SID, 6);
    const root = rig.cd(table, 5, Rig.cd0(0x12));
    rig.map(root, 0x123, 0x456);
    expect(rig.translate(SID, 5, 0x123)).toBe(0x456);
    rig.map(root, 0x123, 0x789);
    rig.command(0x28n, 0n, SYNC, 0n);
    expect(rig.translate(SID, 5, 0x123)).toBe(0x789);
  });

  it.each([
    ['TLBI_S12_VMALL', 0x28n, { stage2: false }],
    ['TLBI_S2_IPA', 0x2an, { stage2: false }],
    ['TLBI_NH_ALL', 0x10n, { stage1: false, stage2: true }],
    ['TLBI_NH_ASID', 0x11n, { stage1: false, stage2: true }],
    ['TLBI_NH_VA', 0x12n, { stage1: false, stage2: true }],
    ['TLBI_NH_VAA', 0x13n, { stage1: false, stage2: true }],
    ['CFGI_CD', 0x05n, { stage1: false, stage2: true }],
    ['CFGI_CD_ALL', 0x06n, { stage1: false, stage2: true }],
  ])('%s is CERROR_ILL without its stage', (_what, dw0, capabilities) => {
    const rig = new Rig(capabilities).enable();
    rig.command(dw0, 0n);
    expect(rig.error).toBe(1);
  });
});
