import { address, bit, bits, dw, table } from '@iommukit/bitfield';
import { AW, CONTEXT_TT, FLPM, PGTT } from './values.js';

const rsvdz = (ref: string) => ({ ref: `vtd.md ${ref}`, gaps: 'reserved-zero' }) as const;

/** Bytes of a root entry, in every mode; one a bus (vtd.md 2.1, 2.3, 2.7). */
export const ROOT_BYTES = 16;
/** Bytes of a legacy context entry; one a devfn, 256 a table (vtd.md 2.2). */
export const LEGACY_CONTEXT_BYTES = 16;
/** Bytes of a scalable-mode or extended context entry; 128 a table, index devfn & 0x7f (vtd.md 2.4, 2.8). */
export const CONTEXT_BYTES = 32;
/** Bytes of a PASID directory entry; index PASID[19:6] (vtd.md 2.9). */
export const PASID_DIR_BYTES = 8;
/** Bytes of a PASID entry; 64 a table, index PASID[5:0] (vtd.md 2.10). */
export const PASID_ENTRY_BYTES = 64;
/** PASID entries in the 4 KiB table of one directory entry (vtd.md 2.9). */
export const PASID_TABLE_ENTRIES = 64;

/** Legacy root entry: the context table of one bus. */
export const LegacyRootEntry = table('root entry', ROOT_BYTES, rsvdz('2.1'), {
  p: bit(0, 'present'),
  ctp: address(63, 12, 'context table, by devfn'),
});

/** Legacy context entry: how requests of one function are translated. */
export const LegacyContextEntry = table('context entry', LEGACY_CONTEXT_BYTES, rsvdz('2.2'), {
  ...dw(0, {
    p: bit(0, 'present'),
    fpd: bit(1, 'fault processing disabled; counts with P=0 too'),
    tt: bits(3, 2, CONTEXT_TT, 'translation type; 3 is reserved'),
    slptptr: address(63, 12, 'second-stage table; ignored in pass-through'),
  }),
  ...dw(1, {
    aw: bits(2, 0, AW, 'width of the second stage'),
    ignored: bits(6, 3, 'for software'),
    did: bits(23, 8, 'domain'),
  }),
});

/** Scalable-mode root entry: two context tables of one bus; only the half that devfn[7] selects is looked at. */
export const RootEntry = table('scalable root entry', ROOT_BYTES, rsvdz('2.7'), {
  ...dw(0, { lp: bit(0, 'lower half present'), lctp: address(63, 12, 'context table of devfn 0x00 to 0x7f') }),
  ...dw(1, { up: bit(0, 'upper half present'), uctp: address(63, 12, 'context table of devfn 0x80 to 0xff') }),
});

/** Scalable-mode context entry: the PASIDs of one function. */
export const ContextEntry = table('scalable context entry', CONTEXT_BYTES, rsvdz('2.8'), {
  ...dw(0, {
    p: bit(0, 'present'),
    fpd: bit(1, 'fault processing disabled; counts with P=0 too'),
    dte: bit(2, 'device TLB; reserved without ECAP.DT'),
    paside: bit(3, 'requests may name a PASID; does not gate RID_PASID'),
    pre: bit(4, 'page requests; reserved without ECAP.PRS'),
    pdts: bits(11, 9, 'directory entries are 2^(PDTS+7), PASIDs 2^(PDTS+13)'),
    pasiddirptr: address(63, 12, 'PASID directory'),
  }),
  ...dw(1, {
    ridPasid: bits(19, 0, 'PASID of requests without one; 0 without ECAP.RPS'),
    ridPriv: bit(20, 'requests without PASID are privileged; reserved without ECAP.RPRIVS'),
  }),
});

/** PASID directory entry: a table of 64 PASID entries. */
export const PasidDirEntry = table('PASID directory entry', PASID_DIR_BYTES, rsvdz('2.9'), {
  p: bit(0, 'present'),
  fpd: bit(1, 'fault processing disabled; counts with P=0 too'),
  smptblptr: address(63, 12, 'table of PASID entries'),
});

/** PASID entry of scalable mode: how requests with one PASID are translated. */
export const PasidEntry = table('PASID entry', PASID_ENTRY_BYTES, rsvdz('2.10'), {
  ...dw(0, {
    p: bit(0, 'present'),
    fpd: bit(1, 'fault processing disabled; counts with P=0 too'),
    aw: bits(4, 2, AW, 'width of the second stage'),
    slee: bit(5, 'second-stage execute; reserved at 4.1'),
    pgtt: bits(8, 6, PGTT, 'which stages translate'),
    slade: bit(9, 'second-stage accessed and dirty flags; reserved without ECAP.SLADS'),
    slptptr: address(63, 12, 'second-stage table'),
  }),
  ...dw(1, {
    did: bits(15, 0, 'domain'),
    pwsnp: bit(23, 'page walks snoop; reserved without ECAP.SMPWCS'),
    pgsnp: bit(24, 'accesses to pages snoop; reserved without ECAP.SC'),
    cd: bit(25, 'cache disable; needs ECAP.MTS'),
    emte: bit(26, 'extended memory types; needs ECAP.MTS'),
    emt: bits(29, 27, 'extended memory type; from one source, reserved at 4.1'),
    pwt: bit(30, 'write-through of tables; from one source, reserved at 4.1'),
    pcd: bit(31, 'cache disable of tables; from one source, reserved at 4.1'),
    pat: bits(63, 32, 'page attribute table; needs ECAP.MTS'),
  }),
  ...dw(2, {
    sre: bit(0, 'supervisor requests'),
    ere: bit(1, 'execute requests; from one source, reserved at 4.1'),
    flpm: bits(3, 2, FLPM, 'levels of the first stage'),
    wpe: bit(4, 'write protection counts for supervisor requests'),
    nxe: bit(5, 'XD has a meaning; ignored at 4.1'),
    smep: bit(6, 'no supervisor execution of user pages; from one source, ignored at 4.1'),
    eafe: bit(7, 'extended accessed flag'),
    flptptr: address(63, 12, 'first-stage table'),
  }),
});

/** Fields of {@link PasidEntry} that existed in 2021 and are reserved at 4.1: a strict unit faults on them (vtd.md D-10). */
export const PASID_ENTRY_RESERVED_4_1 = ['slee', 'emt', 'pwt', 'pcd', 'ere'] as const;
