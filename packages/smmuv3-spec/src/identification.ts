import { bits, named, reg32, ro } from '@iommukit/bitfield';
import { HTTU, OAS, STALL_MODEL, STRTAB_FMT, TTENDIAN, TTF, VAX } from './values.js';

const res0 = (ref: string) => ({ ref: `smmuv3.md ${ref}`, gaps: 'reserved-zero' }) as const;

/** Identification 0: what is implemented. Its reset value is a capability of the device. */
export const IDR0 = reg32('IDR0', 0x000, res0('1.2'), {
  s2p: ro(0, 'stage 2 supported'),
  s1p: ro(1, 'stage 1 supported'),
  ttf: ro(bits(3, 2, TTF, 'translation table formats')),
  cohacc: ro(4, 'coherent access for tables, queues and walks'),
  btm: ro(5, 'receives broadcast TLB maintenance'),
  httu: ro(bits(7, 6, HTTU, 'hardware update of Access flag and dirty state')),
  dormhint: ro(8, 'dormant hint'),
  hyp: ro(9, 'EL2 stage 1 contexts'),
  ats: ro(10, 'PCIe ATS'),
  ns1ats: ro(11, 'split-stage ATS not supported'),
  asid16: ro(12, '16-bit ASID, else 8'),
  msi: ro(13, 'MSI generation'),
  sev: ro(14, 'CMD_SYNC may signal with an event'),
  atos: ro(15, 'address translation operation registers'),
  pri: ro(16, 'page request queue'),
  vmw: ro(17, 'VMID wildcard matching'),
  vmid16: ro(18, '16-bit VMID, else 8'),
  cd2l: ro(19, '2-level CD tables'),
  vatos: ro(20, 'virtual ATOS page'),
  ttendian: ro(bits(22, 21, TTENDIAN, 'byte orders of tables')),
  atsrecerr: ro(23, 'can record events for failing ATS requests'),
  stallModel: ro(bits(25, 24, STALL_MODEL, 'stall and terminate')),
  termModel: ro(26, 'terminate always aborts: CD.A must be 1'),
  stLevel: ro(bits(28, 27, STRTAB_FMT, 'levels of the stream table')),
  rmeImpl: ro(30, 'realm management extension'),
});

/** Identification 1: sizes. */
export const IDR1 = reg32('IDR1', 0x004, res0('1.3'), {
  sidsize: ro(bits(5, 0, 'StreamID bits, up to 32')),
  ssidsize: ro(bits(10, 6, 'SubstreamID bits, up to 20; 0 none')),
  priqs: ro(bits(15, 11, 'log2 of most PRI queue entries, up to 19')),
  eventqs: ro(bits(20, 16, 'log2 of most event queue entries, up to 19')),
  cmdqs: ro(bits(25, 21, 'log2 of most command queue entries, up to 19')),
  attrPermsOvr: ro(26, 'incoming permission attributes can be overridden'),
  attrTypesOvr: ro(27, 'incoming memory attributes can be overridden'),
  rel: ro(28, 'queue and table addresses are relative'),
  queuesPreset: ro(29, 'queue addresses are fixed'),
  tablesPreset: ro(30, 'table addresses are fixed'),
  ecmdq: ro(31, 'enhanced command queues'),
});

/** Identification 2. */
export const IDR2 = reg32('IDR2', 0x008, res0('1.4'), { baVatos: ro(bits(9, 0, 'VATOS page offset')) });

/** Identification 3: features. */
export const IDR3 = reg32('IDR3', 0x00c, res0('1.4'), {
  had: ro(2, 'hierarchical attribute disable'),
  pbha: ro(3, 'page-based hardware attributes'),
  xnx: ro(4, 'stage 2 execute-never for EL0 and EL1 apart'),
  pps: ro(5, 'PASID placement on automatic PRI responses'),
  mpam: ro(7, 'memory partitioning and monitoring'),
  fwb: ro(8, 'stage 2 forced write-back'),
  stt: ro(9, 'small translation tables: larger TxSZ'),
  ril: ro(10, 'range invalidation'),
  bbml: ro(bits(12, 11, 'break-before-make level')),
  e0pd: ro(13, 'E0PD'),
  ptwnnc: ro(14, 'PTWNNC'),
  dpt: ro(15, 'device permission table'),
  pasidtt: ro(16, 'PASIDTT'),
  epan: ro(17, 'EPAN'),
  s1pi: ro(18, 'stage 1 permission indirection'),
  s2pi: ro(19, 'stage 2 permission indirection'),
  s2po: ro(20, 'stage 2 permission overlay'),
  the: ro(21, 'THE'),
  mteperm: ro(22, 'MTEPERM'),
  aie: ro(23, 'AIE'),
});

/** Identification 4: implementation defined. */
export const IDR4 = reg32('IDR4', 0x010, res0('1.4'), { value: ro(bits(31, 0, 'implementation defined')) });

/** Identification 5: addresses, granules, stalls. */
export const IDR5 = reg32('IDR5', 0x014, res0('1.4'), {
  oas: ro(bits(2, 0, OAS, 'output address size')),
  gran4k: ro(4, '4 KiB granule'),
  gran16k: ro(5, '16 KiB granule'),
  gran64k: ro(6, '64 KiB granule'),
  ds: ro(7, '52-bit addresses with 4K and 16K granules'),
  d128: ro(8, '128-bit descriptors'),
  vax: ro(bits(11, 10, VAX, 'virtual address size')),
  stallMax: ro(bits(31, 16, 'most outstanding stalled transactions')),
});

/** Identification 6: enhanced command queues. */
export const IDR6 = reg32('IDR6', 0x190, res0('1.4'), {
  cmdqControlPageLog2nump: ro(bits(19, 16, 'log2 of the enhanced command queue pages')),
  cmdqControlPageLog2numq: ro(bits(27, 24, 'log2 of the enhanced command queues a page')),
});

/** Who made it: 0x43b with product 0x483 is MMU-600, 0x487 MMU-700. */
export const IIDR = reg32('IIDR', 0x018, res0('1.4'), {
  implementer: ro(named('Implementer', bits(11, 0, 'JEP106 code'))),
  revision: ro(named('Revision', bits(15, 12, 'minor revision'))),
  variant: ro(named('Variant', bits(19, 16, 'major revision'))),
  productId: ro(named('ProductID', bits(31, 20, 'product'))),
});

/** Architecture revision. */
export const AIDR = reg32('AIDR', 0x01c, res0('1.4'), {
  archMinorRev: ro(named('ArchMinorRev', bits(3, 0, 'minor revision'))),
  archMajorRev: ro(named('ArchMajorRev', bits(7, 4, 'major revision'))),
});
