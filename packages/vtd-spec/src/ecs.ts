import { address, bit, bits, dw, table } from '@iommukit/bitfield';
import { CONTEXT_BYTES, ROOT_BYTES } from './tables.js';
import { AW, ECS_TT } from './values.js';

const rsvdz = (ref: string) => ({ ref: `vtd.md ${ref}`, gaps: 'reserved-zero' }) as const;

/** Bytes of a PASID entry of the extended mode (vtd.md 2.5). */
export const ECS_PASID_BYTES = 8;
/** Bytes of a PASID-state entry of the extended mode (vtd.md 2.6). */
export const ECS_PASID_STATE_BYTES = 8;

/** Extended root entry: two context tables of one bus. */
export const EcsRootEntry = table('extended root entry', ROOT_BYTES, rsvdz('2.3'), {
  ...dw(0, { lp: bit(0, 'lower half present'), lctp: address(63, 12, 'context table of devfn 0x00 to 0x7f') }),
  ...dw(1, { up: bit(0, 'upper half present'), uctp: address(63, 12, 'context table of devfn 0x80 to 0xff') }),
});

/** Extended context entry: second stage for requests without PASID, PASID tables for those with one. */
export const EcsContextEntry = table('extended context entry', CONTEXT_BYTES, rsvdz('2.4'), {
  ...dw(0, {
    p: bit(0, 'present'),
    fpd: bit(1, 'fault processing disabled'),
    tt: bits(4, 2, ECS_TT, 'translation type'),
    emt: bits(7, 5, 'extended memory type; from one source'),
    dinve: bit(8, 'deferred invalidation'),
    pre: bit(9, 'page requests'),
    neste: bit(10, 'nested translation'),
    paside: bit(11, 'requests may name a PASID'),
    slptptr: address(63, 12, 'second-stage table'),
  }),
  ...dw(1, {
    aw: bits(2, 0, AW, 'width of the second stage'),
    pge: bit(3, 'global pages; from one source'),
    nxe: bit(4, 'no-execute; from one source'),
    wpe: bit(5, 'write protection for supervisor requests; from one source'),
    cd: bit(6, 'cache disable; from one source'),
    emte: bit(7, 'extended memory types; from one source'),
    did: bits(23, 8, 'domain'),
    smep: bit(24, 'no supervisor execution of user pages; from one source'),
    eafe: bit(25, 'extended accessed flag; from one source'),
    ere: bit(26, 'execute requests; from one source'),
    slee: bit(27, 'second-stage execute; from one source'),
    pat0: bits(34, 32, 'memory type 0; PAT is from one source'),
    pat1: bits(38, 36, 'memory type 1'),
    pat2: bits(42, 40, 'memory type 2'),
    pat3: bits(46, 44, 'memory type 3'),
    pat4: bits(50, 48, 'memory type 4'),
    pat5: bits(54, 52, 'memory type 5'),
    pat6: bits(58, 56, 'memory type 6'),
    pat7: bits(62, 60, 'memory type 7'),
  }),
  ...dw(2, {
    pts: bits(3, 0, 'PASIDs are 2^(PTS+5)'),
    pasidptr: address(63, 12, 'PASID table, contiguous'),
  }),
  ...dw(3, { pasidstptr: address(63, 12, 'PASID-state table, same index') }),
});

/** PASID entry of the extended mode. PCD and PWT stand the other way round than in CR3; leave both 0. */
export const EcsPasidEntry = table('extended PASID entry', ECS_PASID_BYTES, rsvdz('2.5'), {
  p: bit(0, 'present'),
  pcd: bit(3, 'cache disable of tables; from one source'),
  pwt: bit(4, 'write-through of tables; from one source'),
  flpm: bit(9, '5-level first stage; from one source'),
  sre: bit(11, 'supervisor requests'),
  flptptr: address(63, 12, 'first-stage table'),
});

/** PASID-state entry of the extended mode: an entry of zero is idle. */
export const EcsPasidStateEntry = table('PASID-state entry', ECS_PASID_STATE_BYTES, rsvdz('2.6'), {
  arefcnt: bits(47, 32, 'active references, counted by the unit'),
  dinv: bit(63, 'deferred invalidation asked for'),
});
