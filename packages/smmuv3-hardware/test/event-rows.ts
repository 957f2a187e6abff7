import { Rig, type TestLink } from './rig.js';

export const PAGE = 0x7f1234567;
export const NONE = '0x0000000000000000';
export const HOLE = 0x80_0000_0000n;
/** STE dw1: EATS = 1; S1DSS. */
export const EATS = 0x1000_0000n;
/** A linear CD table of 2^6. */
export const CDS = 6n << 59n;

/** An untranslated read of 0x7f1234567abc by PASID 5, unless told. */
export const read = (pasid = 5, page = PAGE) =>
  ({ kind: 'read', at: 0, tag: 1, pasid, page, offset: 0xabc, bytes: 8, witness: 0 }) as const;

/** A translation request for the page. */
export const ask = (pasid = 5, page = PAGE) =>
  ({
    kind: 'translation-request',
    tag: 9,
    pasid,
    page,
    count: 1,
    noWrite: true,
    exec: false,
    priv: false,
  }) as const;

/** What is wrong, how it is brought about, and the record that an untranslated read leaves: dw0 to dw3; none: nothing is recorded. */
export interface Row {
  readonly step: string;
  readonly what: string;
  /** Makes it so; SID 0x42 has a CD table of 64 with PASID 5 and an empty page table. */
  readonly make: (rig: Rig, cds: number, root: number) => void;
  readonly record: readonly string[] | null;
  readonly sid?: number;
  readonly pasid?: number;
  readonly page?: number;
  readonly capabilities?: Record<string, boolean | number | string>;
  /** Another condition that holds too and comes later in the order: it must not be what is recorded. */
  readonly before?: string;
}

/** A 2-level stream table of 256 STEs, SPLIT 6, whose descriptor of SIDs 0x40 to 0x7f is as given. */
function twoLevel(rig: Rig, descriptor: bigint): void {
  rig.write(0x20, 0);
  const level1 = rig.frames(0);
  rig.store(level1 + 8, descriptor);
  rig.write64(0x80, BigInt(level1));
  rig.write(0x88, 8 | (6 << 6) | (1 << 16));
  rig.write(0x20, 0x1f);
}
export const slot = (level: number): number => (Math.floor(PAGE / 512 ** (3 - level)) % 512) * 8;
/** F_TRANSLATION and its kin for a read by PASID 5 of 0x7f1234567abc (5.2). */
export const fault = (id: string): string[] => [
  `0x00000042000058${id}`,
  '0x0000020800000000',
  '0x00007f1234567abc',
  NONE,
];
export const configuration = (dw0: string, fetch = NONE): string[] => [dw0, NONE, NONE, fetch];

/** smmuv3.md 5.3, steps 2 to 11: a row for each condition. */
export const ROWS: readonly Row[] = [
  {
    step: '2',
    what: 'a SID outside the table',
    make: () => {},
    sid: 0x100,
    record: configuration('0x0000010000005802'),
  },
  {
    step: '2',
    what: 'a level-1 descriptor with Span 0',
    make: (rig) => twoLevel(rig, 0n),
    record: configuration('0x0000004200005802'),
  },
  {
    step: '2',
    what: 'a level-1 descriptor with a reserved Span (12)',
    make: (rig) => twoLevel(rig, BigInt(rig.frames(0)) | 12n),
    record: configuration('0x0000004200005802'),
  },
  {
    step: '2',
    what: 'a level-1 descriptor with Span above SPLIT+1',
    make: (rig) => twoLevel(rig, BigInt(rig.frames(1)) | 8n),
    record: configuration('0x0000004200005802'),
  },
  {
    step: '2',
    what: 'a SID out of the span of its level-1 descriptor (D-8)',
    make: (rig) => twoLevel(rig, BigInt(rig.frames(0)) | 2n),
    record: configuration('0x0000004200005802'),
    before: 'the STE is not valid',
  },
  {
    step: '3',
    what: 'a level-1 descriptor that cannot be fetched',
    make: (rig) => {
      rig.write(0x20, 0);
      rig.write64(0x80, HOLE);
      rig.write(0x88, 8 | (6 << 6) | (1 << 16));
      rig.write(0x20, 0x1f);
    },
    record: configuration('0x0000004200005803', '0x0000008000000008'),
  },
  {
    step: '3',
    what: 'an STE that cannot be fetched',
    make: (rig) => twoLevel(rig, HOLE | 7n),
    record: configuration('0x0000004200005803', '0x0000008000000080'),
  },
  {
    step: '4',
    what: 'an STE with V=0',
    make: (rig) => rig.ste(0x42, 0n),
    record: configuration('0x0000004200005804'),
  },
  {
    step: '4',
    what: 'Config=6 without stage 2',
    make: (rig) => rig.ste(0x42, 0xdn),
    record: configuration('0x0000004200005804'),
  },
  {
    step: '4',
    what: 'Config=7 without stage 2',
    make: (rig, cds) => rig.ste(0x42, CDS | BigInt(cds) | 0xfn, EATS),
    record: configuration('0x0000004200005804'),
  },
  {
    step: '4',
    what: 'S1STALLD=1 with STALL_MODEL=1',
    make: (rig, cds) => rig.ste(0x42, CDS | BigInt(cds) | 0xbn, EATS | (1n << 27n)),
    capabilities: { stall: 'none' },
    record: configuration('0x0000004200005804'),
  },
  {
    step: '4',
    what: 'S1CDMax above SSIDSIZE',
    make: (rig, cds) => rig.ste(0x42, (9n << 59n) | BigInt(cds) | 0xbn, EATS),
    capabilities: { ssidBits: 8 },
    pasid: 300,
    record: configuration('0x000000420012c804'),
    before: 'the SSID is beyond SSIDSIZE (6)',
  },
  {
    step: '4',
    what: 'a 2-level CD table without CD2L',
    make: (rig, cds) => rig.ste(0x42, CDS | (1n << 4n) | BigInt(cds) | 0xbn, EATS),
    capabilities: { cd2l: false },
    record: configuration('0x0000004200005804'),
  },
  {
    step: '4',
    what: 'EATS=2 without stage 2',
    make: (rig, cds) => rig.ste(0x42, CDS | BigInt(cds) | 0xbn, 2n << 28n),
    record: configuration('0x0000004200005804'),
  },
  ...[0n, 1n, 2n, 3n].map((config) => ({
    step: '4',
    what: `Config=${config}, which aborts silently`,
    make: (rig: Rig) => rig.ste(0x42, 1n | (config << 1n)),
    record: null,
  })),
  {
    step: '6',
    what: 'an SSID with stage 1 off',
    make: (rig) => rig.ste(0x42, 0x9n),
    record: configuration('0x0000004200005008'),
  },
  {
    step: '6',
    what: 'an SSID with S1CDMax=0',
    make: (rig, cds) => rig.ste(0x42, BigInt(cds) | 0xbn, EATS),
    record: configuration('0x0000004200005008'),
    before: 'CD 0 is not valid (10)',
  },
  {
    step: '6',
    what: 'an SSID of 2^S1CDMax',
    make: (rig) => rig.ste(0x42, CDS | HOLE | 0xbn, EATS),
    pasid: 64,
    record: configuration('0x0000004200040008'),
    before: 'the CD table cannot be fetched (9)',
  },
  {
    step: '6',
    what: 'a level-1 CD descriptor with V=0',
    make: (rig) => rig.ste(0x42, (8n << 59n) | (1n << 4n) | BigInt(rig.frames(0)) | 0xbn, EATS),
    record: configuration('0x0000004200005008'),
  },
  {
    step: '6',
    what: 'an SSID with SSIDSIZE=0',
    make: (rig, cds) => rig.ste(0x42, BigInt(cds) | 0xbn, EATS),
    capabilities: { ssidBits: 0 },
    record: configuration('0x0000004200005008'),
  },
  {
    step: '7',
    what: 'no SSID with S1DSS=0',
    make: (rig) => rig.ste(0x42, CDS | HOLE | 0xbn, EATS),
    pasid: -1,
    record: configuration('0x0000004200000006'),
    before: 'the CD table cannot be fetched (9)',
  },
  {
    step: '7',
    what: 'no SSID with S1DSS=3, which acts as 0',
    make: (rig, cds) => rig.ste(0x42, CDS | BigInt(cds) | 0xbn, EATS | 3n),
    pasid: -1,
    record: configuration('0x0000004200000006'),
  },
  {
    step: '7',
    what: 'SSID 0 with S1DSS=2',
    make: (rig) => rig.ste(0x42, CDS | HOLE | 0xbn, EATS | 2n),
    pasid: 0,
    record: configuration('0x0000004200000006'),
    before: 'the CD table cannot be fetched (9)',
  },
  {
    step: '9',
    what: 'a CD that cannot be fetched',
    make: (rig) => rig.ste(0x42, CDS | HOLE | 0xbn, EATS),
    record: configuration('0x0000004200005809', '0x0000008000000140'),
  },
  {
    step: '9',
    what: 'a level-1 CD descriptor that cannot be fetched',
    make: (rig) => rig.ste(0x42, (8n << 59n) | (1n << 4n) | HOLE | 0xbn, EATS),
    pasid: 0x45,
    record: configuration('0x0000004200045809', '0x0000008000000008'),
  },
  {
    step: '10',
    what: 'a CD with V=0',
    make: (rig, cds) => rig.cd(cds, 5, Rig.cd0(1, 0n, 1n << 31n)),
    record: configuration('0x000000420000580a'),
  },
  {
    step: '10',
    what: 'a CD with AA64=0',
    make: (rig, cds) => rig.cd(cds, 5, Rig.cd0(1, 0n, 1n << 41n)),
    record: configuration('0x000000420000580a'),
  },
  {
    step: '10',
    what: 'a CD with ENDI=1',
    make: (rig, cds) => rig.cd(cds, 5, Rig.cd0(1, 1n << 15n)),
    record: configuration('0x000000420000580a'),
  },
  {
    step: '10',
    what: 'a CD with A=0 and TERM_MODEL=1',
    make: (rig, cds) => rig.cd(cds, 5, Rig.cd0(1, 0n, 1n << 46n)),
    capabilities: { terminateAborts: true },
    record: configuration('0x000000420000580a'),
  },
  {
    step: '10',
    what: 'a CD with an ASID of 9 bits and ASID16=0',
    make: (rig, cds) => rig.cd(cds, 5, Rig.cd0(0x100)),
    capabilities: { asid16: false },
    record: configuration('0x000000420000580a'),
  },
  {
    step: '10',
    what: 'a CD with HA=1 and HTTU=0',
    make: (rig, cds) => rig.cd(cds, 5, Rig.cd0(1, 1n << 43n)),
    record: configuration('0x000000420000580a'),
  },
  {
    step: '10',
    what: 'a CD with T0SZ=0',
    make: (rig, cds) => rig.cd(cds, 5, Rig.cd0(1, 0n, 0x3fn)),
    page: 2 ** 40,
    record: configuration('0x000000420000580a'),
    before: 'the address would be out of any range (11)',
  },
  {
    step: '10',
    what: 'a CD whose TTB0 is beyond the output size',
    make: (rig, cds) => rig.cd(cds, 5, Rig.cd0(1, 0n, 0x7_0000_0000n), 2 ** 33),
    record: configuration('0x000000420000580a'),
  },
  {
    step: '11',
    what: 'an address above the T0SZ range',
    make: () => {},
    page: 2 ** 36,
    record: ['0x0000004200005810', '0x0000020800000000', '0x0001000000000abc', NONE],
  },
  {
    step: '11',
    what: 'a half that EPD1 switches off',
    make: () => {},
    page: 2 ** 52 - 1,
    record: ['0x0000004200005810', '0x0000020800000000', '0xfffffffffffffabc', NONE],
  },
  {
    step: '11',
    what: 'a table that cannot be fetched',
    make: (rig, _cds, root) => rig.store(root + slot(0), HOLE | 3n),
    record: [
      '0x000000420000580b',
      '0x0000010800000000',
      '0x00007f1234567abc',
      `0x000000800000${slot(1).toString(16).padStart(4, '0')}`,
    ],
  },
  {
    step: '11',
    what: 'an invalid table descriptor',
    make: (rig, _cds, root) => rig.store(root + slot(0), HOLE),
    record: fault('10'),
    before: 'its address cannot be fetched',
  },
  {
    step: '11',
    what: 'a table beyond the output size',
    make: (rig, cds) => {
      const root = rig.cd(cds, 5, Rig.cd0(1, 0n, 0x7_0000_0000n));
      rig.store(root + slot(0), 0x1_0000_0003n);
    },
    record: fault('11'),
    before: 'it cannot be fetched either',
  },
  {
    step: '11',
    what: 'an invalid leaf',
    make: (rig, _cds, root) => rig.map(root, PAGE, 0x40100, 0x842n),
    record: fault('10'),
    before: 'its AF is 0',
  },
  {
    step: '11',
    what: 'a page beyond the output size',
    make: (rig, cds) => {
      const root = rig.cd(cds, 5, Rig.cd0(1, 0n, 0x7_0000_0000n));
      rig.map(root, PAGE, 2 ** 20, 0x803n);
    },
    record: fault('11'),
    before: 'AF is 0 and the page is privileged',
  },
  {
    step: '11',
    what: 'AF=0',
    make: (rig, _cds, root) => rig.map(root, PAGE, 0x40100, 0x803n),
    record: fault('12'),
    before: 'the page is privileged',
  },
  {
    step: '11',
    what: 'a right that is missing',
    make: (rig, _cds, root) => rig.map(root, PAGE, 0x40100, 0xc03n),
    record: fault('13'),
  },
];

/** A rig with SID 0x42, its CD table and PASID 5, made as a row wants it. */
export function rigged(row: Pick<Row, 'capabilities' | 'make' | 'sid'>): {
  rig: Rig;
  cds: number;
  root: number;
  link: TestLink;
} {
  const rig = new Rig(row.capabilities).enable();
  const cds = rig.cdTable(0x42, row.capabilities?.['ssidBits'] === 0 ? 0 : 6);
  const root = rig.cd(cds, 5, Rig.cd0(1));
  row.make(rig, cds, root);
  return { rig, cds, root, link: rig.link(row.sid ?? 0x42) };
}
