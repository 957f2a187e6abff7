import { address, bit, bits, enumOf, named, table } from '@iommukit/bitfield';
import { SH } from './vmsa.js';

/** S2AP of a stage-2 block or page: who may read and write, at every privilege (smmuv3.md 3.2). */
export const S2AP = enumOf({ NONE: 0b00, RO: 0b01, WO: 0b10, RW: 0b11 });

/** XN of a stage-2 block or page: who may execute (smmuv3.md 3.2). */
export const S2XN = enumOf({ ALL: 0b00, UNPRIVILEGED: 0b01, NONE: 0b10, PRIVILEGED: 0b11 });

/** A stage-2 page: level 3, 4K granule, 48-bit addresses. What differs from stage 1 is attributes, rights, and that nothing is inherited. */
export const Stage2Page = table(
  'stage-2 page',
  8,
  { ref: 'smmuv3.md 3.2', gaps: 'reserved-zero' },
  {
    valid: named('Valid', bit(0, 'valid')),
    type: named('Type', bit(1, '1 page')),
    memAttr: named('MemAttr', bits(5, 2, 'memory type: 0xf write-back, 5 non-cacheable, 1 device')),
    s2ap: named('S2AP', bits(7, 6, S2AP, 'who may read and write')),
    sh: named('SH', bits(9, 8, SH, 'shareability')),
    af: named('AF', bit(10, 'Access flag; 0 faults with F_ACCESS')),
    fnxs: named('FnXS', bit(11, 'limits what invalidations wait for, else ignored')),
    oa: named('OutputAddress', address(47, 12, 'the page')),
    dbm: named('DBM', bit(51, 'dirty state is managed: with S2AP[1]=0 writable-clean')),
    contiguous: named('Contiguous', bit(52, 'one of a contiguous group')),
    xn: named('XN', bits(54, 53, S2XN, 'who may execute')),
    software: named('Software', bits(58, 55, 'for software')),
    pbha: named('PBHA', bits(62, 59, 'page-based hardware attributes, else ignored')),
    ignored: named('Ignored', bit(63, 'ignored')),
  },
);
