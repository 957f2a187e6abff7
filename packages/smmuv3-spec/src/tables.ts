import { address, bit, bits, dw, named, table, wide } from '@iommukit/bitfield';
import {
  ASET,
  EATS,
  INSTCFG,
  OAS,
  PRIVCFG,
  S1DSS,
  S1FMT,
  SHAREABILITY,
  SHCFG,
  STE_CONFIG,
  STRW,
  TG0,
  TG1,
  WALK_CACHE,
} from './values.js';

const res0 = (ref: string) => ({ ref: `smmuv3.md ${ref}`, gaps: 'reserved-zero' }) as const;

/** Level-1 stream table descriptor, 8 bytes. Span 0 is invalid; otherwise 2^(Span-1) STEs at L2Ptr. */
export const L1STD = table('L1STD', 8, res0('2.1'), {
  span: named('Span', bits(4, 0, 'log2 of the STEs plus one; 0 invalid, above SPLIT+1 reserved')),
  l2Ptr: named('L2Ptr', address(55, 6, 'array of STEs, aligned to its size')),
});

/** Stream table entry, 64 bytes. What makes it ILLEGAL is in smmuv3.md 2.2. */
export const STE = table('STE', 64, res0('2.2'), {
  ...dw(0, {
    v: bit(0, 'valid'),
    config: named('Config', bits(3, 1, STE_CONFIG, 'which stages translate; 0 to 3 abort without an event')),
    s1Fmt: named('S1Fmt', bits(5, 4, S1FMT, 'shape of the CD table')),
    s1ContextPtr: named('S1ContextPtr', address(55, 6, 'CD, or CD table')),
    s1cdMax: named('S1CDMax', bits(63, 59, 'log2 of the CD count; 0: one CD and no substreams')),
  }),
  ...dw(1, {
    s1dss: bits(1, 0, S1DSS, 'traffic without SSID when S1CDMax is not 0'),
    s1cir: bits(3, 2, WALK_CACHE, 'inner cacheability of CD fetches'),
    s1cor: bits(5, 4, WALK_CACHE, 'outer cacheability of CD fetches'),
    s1csh: bits(7, 6, SHAREABILITY, 'shareability of CD fetches'),
    s2hwu: named('S2HWU59..62', bits(11, 8, 'hardware use of stage 2 descriptor bits')),
    dre: bit(12, 'destructive read enable'),
    cont: bits(16, 13, 'hint: 2^CONT identical STEs'),
    dcp: bit(17, 'directed cache prefetch'),
    ppar: bit(18, 'PASID on automatic PRI responses'),
    mev: bit(19, 'merge identical events'),
    swReserved: bits(23, 20, 'for software'),
    s1pie: bit(24, 'stage 1 permission indirection'),
    s2fwb: bit(25, 'stage 2 forced write-back'),
    s1mpam: bit(26, 'stage 1 memory partitioning'),
    s1stalld: bit(27, 'stage 1 stalls disabled'),
    eats: bits(29, 28, EATS, 'what ATS may do'),
    strw: bits(31, 30, STRW, 'StreamWorld, used with Config=5 only'),
    memAttr: named('MemAttr', bits(35, 32, 'memory type')),
    mtcfg: bit(36, 'override the memory type'),
    alloccfg: bits(40, 37, 'allocation hints'),
    shcfg: bits(45, 44, SHCFG, 'shareability'),
    nscfg: bits(47, 46, 'security'),
    privcfg: bits(49, 48, PRIVCFG, 'privilege'),
    instcfg: bits(51, 50, INSTCFG, 'instruction or data, of reads'),
  }),
  ...dw(2, {
    s2vmid: bits(15, 0, 'VMID; also tags stage 1 NS-EL1 entries'),
    s2t0sz: bits(37, 32, 'stage 2 input size is 64 - S2T0SZ bits'),
    s2sl0: bits(39, 38, 'stage 2 start level'),
    s2ir0: bits(41, 40, WALK_CACHE, 'inner cacheability of stage 2 walks'),
    s2or0: bits(43, 42, WALK_CACHE, 'outer cacheability of stage 2 walks'),
    s2sh0: bits(45, 44, SHAREABILITY, 'shareability of stage 2 walks'),
    s2tg: bits(47, 46, TG0, 'stage 2 granule'),
    s2ps: bits(50, 48, OAS, 'stage 2 output size'),
    s2aa64: bit(51, 'stage 2 tables are VMSAv8-64'),
    s2endi: bit(52, 'stage 2 tables are big-endian'),
    s2affd: bit(53, 'stage 2: AF=0 does not fault'),
    s2ptw: bit(54, 'stage 1 walks to device memory fault'),
    s2hd: bit(55, 'stage 2 hardware dirty state'),
    s2ha: bit(56, 'stage 2 hardware Access flag'),
    s2s: bit(57, 'stage 2 faults stall'),
    s2r: bit(58, 'stage 2 faults are recorded'),
    s2haft: bit(59, 'stage 2 Access flag in table descriptors'),
    s2pie: bit(60, 'stage 2 permission indirection'),
    s2poe: bit(61, 'stage 2 permission overlay'),
    dptVmatch: bits(63, 62, 'device permission table VMID match'),
  }),
  ...dw(3, {
    s2nsw: bit(0, 'Secure stage 2 walks'),
    s2nsa: bit(1, 'Secure stage 2 output'),
    s2sl0Two: named('S2SL0_2', bit(2, 'third bit of S2SL0')),
    s2ds: bit(3, 'stage 2 52-bit addresses'),
    s2ttb: address(55, 4, 'stage 2 table'),
    s2skl: bits(62, 61, 'stage 2 skip level'),
  }),
  ...dw(4, {
    impDef: named('IMP DEF', bits(15, 0, 'implementation defined')),
    partid: bits(31, 16, 'memory partition'),
    sS2t0sz: bits(37, 32, 'Secure stage 2 input size'),
    sS2sl0: bits(39, 38, 'Secure stage 2 start level'),
    sS2tg: bits(47, 46, TG0, 'Secure stage 2 granule'),
    mecid: bits(63, 48, 'memory encryption context'),
  }),
  ...dw(5, {
    pmg: bits(7, 0, 'performance monitoring group'),
    mpamNs: bit(8, 'memory partition is Non-secure'),
    assuredOnly: named('AssuredOnly', bit(9, 'assured translations only')),
    tl0: bit(10, 'TL0'),
    tl1: bit(11, 'TL1'),
    vmsPtr: named('VMSPtr', address(55, 12, 'virtual machine structure')),
  }),
  ...dw(6, {
    s2sw: bit(0, 'Secure stage 2 walks'),
    s2sa: bit(1, 'Secure stage 2 output'),
    sS2sl0Two: named('S_S2SL0_2', bit(2, 'third bit of S_S2SL0')),
    sS2ttb: address(55, 4, 'Secure stage 2 table'),
    sS2skl: bits(62, 61, 'Secure stage 2 skip level'),
  }),
  ...dw(7, { s2poi: wide(63, 0, 'stage 2 overlay indexes') }),
});

/** Level-1 context descriptor, 8 bytes. */
export const L1CD = table('L1CD', 8, res0('2.3'), {
  v: bit(0, 'valid'),
  l2Ptr: named('L2Ptr', address(55, 12, 'leaf table of CDs')),
});

/** Context descriptor, 64 bytes. What makes it ILLEGAL is in smmuv3.md 2.4. */
export const CD = table('CD', 64, res0('2.4'), {
  ...dw(0, {
    t0sz: bits(5, 0, 'lower half is 64 - T0SZ bits'),
    tg0: bits(7, 6, TG0, 'granule of the lower half'),
    ir0: bits(9, 8, WALK_CACHE, 'inner cacheability of walks'),
    or0: bits(11, 10, WALK_CACHE, 'outer cacheability of walks'),
    sh0: bits(13, 12, SHAREABILITY, 'shareability of walks'),
    epd0: bit(14, 'no walks of TTB0: a miss is F_TRANSLATION'),
    endi: bit(15, 'big-endian descriptors'),
    t1sz: bits(21, 16, 'upper half is 64 - T1SZ bits'),
    tg1: bits(23, 22, TG1, 'granule of the upper half'),
    ir1: bits(25, 24, WALK_CACHE, 'inner cacheability of walks'),
    or1: bits(27, 26, WALK_CACHE, 'outer cacheability of walks'),
    sh1: bits(29, 28, SHAREABILITY, 'shareability of walks'),
    epd1: bit(30, 'no walks of TTB1: a miss is F_TRANSLATION'),
    v: bit(31, 'valid'),
    ips: bits(34, 32, OAS, 'output size; at most IDR5.OAS is effective'),
    affd: bit(35, 'AF=0 does not fault'),
    wxn: bit(36, 'writable implies not executable'),
    uwxn: bit(37, 'unprivileged writable implies not privileged-executable'),
    tbi0: bit(38, 'top byte ignored, lower half'),
    tbi1: bit(39, 'top byte ignored, upper half'),
    pan: bit(40, 'privileged access never'),
    aa64: bit(41, 'tables are VMSAv8-64'),
    hd: bit(42, 'hardware dirty state; needs HA'),
    ha: bit(43, 'hardware Access flag'),
    s: bit(44, 'faults stall'),
    r: bit(45, 'faults are recorded'),
    a: bit(46, 'faults abort, else read as zero and ignore writes'),
    aset: bits(47, 47, ASET, 'ASID set'),
    asid: bits(63, 48, 'address space of non-global entries'),
  }),
  ...dw(1, {
    nscfg0: bit(0, 'security of TTB0 walks'),
    had0: bit(1, 'no hierarchical attributes'),
    e0pd0: bit(2, 'no unprivileged access'),
    haft: bit(3, 'Access flag in table descriptors'),
    ttb0: address(55, 4, 'table of the lower half'),
    pnch: named('PnCH', bit(58, 'protected never coherent hint')),
    epan: bit(59, 'enhanced privileged access never'),
    hwu059: bit(60, 'hardware use of descriptor bit 59'),
    hwu060: bit(61, 'hardware use of descriptor bit 60'),
    hwu061: named('HWU061-062', bits(63, 62, 'hardware use of descriptor bits 61 and 62')),
  }),
  ...dw(2, {
    nscfg1: bit(0, 'security of TTB1 walks'),
    had1: bit(1, 'no hierarchical attributes'),
    e0pd1: bit(2, 'no unprivileged access'),
    aie: bit(3, 'attribute index extension'),
    ttb1: address(55, 4, 'table of the upper half'),
    ds: bit(58, '52-bit addresses with 4K and 16K granules'),
    pie: bit(59, 'permission indirection'),
    hwu1: named('HWU1nn', bits(63, 60, 'hardware use of descriptor bits')),
  }),
  ...dw(3, {
    mair0: bits(31, 0, 'memory attributes 0 to 3, one byte each'),
    mair1: bits(63, 32, 'memory attributes 4 to 7, one byte each'),
  }),
  ...dw(4, {
    amair0: bits(31, 0, 'auxiliary attributes 0 to 3'),
    amair1: bits(63, 32, 'auxiliary attributes 4 to 7'),
  }),
  ...dw(5, {
    impDef: named('IMP DEF', bits(31, 0, 'implementation defined')),
    partid: bits(47, 32, 'memory partition'),
    pmg: bits(55, 48, 'performance monitoring group'),
  }),
  ...dw(6, { piiu: wide(63, 0, 'unprivileged permission indirection') }),
  ...dw(7, { piip: wide(63, 0, 'privileged permission indirection') }),
});

/** Bytes of an STE and of a CD (smmuv3.md 2). */
export const ENTRY_BYTES = 64;

/** Bytes of a level-1 descriptor of the stream table and of the CD table (smmuv3.md 2.1, 2.3). */
export const L1_BYTES = 8;

/** log2 of the CDs in a leaf, by S1Fmt: of {@link S1FMT} TWO_LEVEL_4K and TWO_LEVEL_64K (smmuv3.md 2.2). */
export const CD_LEAF_BITS: readonly number[] = [0, 6, 10];
