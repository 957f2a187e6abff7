import { bits, reg32, reg64, ro } from '@iommukit/bitfield';

const rsvdz = (ref: string) => ({ ref: `vtd.md ${ref}`, gaps: 'reserved-zero' }) as const;

/** Architecture version. Its reset value is a capability of the unit. */
export const VER = reg32('VER', 0x000, rsvdz('1.1'), {
  min: ro(bits(3, 0, 'minor version')),
  max: ro(bits(7, 4, 'major version')),
});

/** Capabilities. Its reset value is a capability of the unit. */
export const CAP = reg64('CAP', 0x008, rsvdz('1.2'), {
  nd: ro(bits(2, 0, 'domains are 2^(4+2*ND)')),
  afl: ro(3, 'advanced fault logging'),
  rwbf: ro(4, 'write buffers must be flushed with GCMD.WBF'),
  plmr: ro(5, 'protected low memory'),
  phmr: ro(6, 'protected high memory'),
  cm: ro(7, 'caching mode: not-present and faulting entries may be cached'),
  sagaw: ro(bits(12, 8, 'bit 1: 39 bits, bit 2: 48, bit 3: 57; bits 0 and 4 reserved (formerly 30 and 64)')),
  mgaw: ro(bits(21, 16, 'largest guest address width minus one')),
  zlr: ro(22, 'zero-length reads'),
  isoch: ro(23, 'isochrony; deprecated'),
  fro: ro(bits(33, 24, 'fault records are at FRO*16')),
  sllps: ro(bits(37, 34, 'second-stage large pages; bit 0: 2 MiB, bit 1: 1 GiB')),
  psi: ro(39, 'page-selective IOTLB descriptors; PASID-based ones do not need it'),
  nfr: ro(bits(47, 40, 'fault records minus one')),
  mamv: ro(bits(53, 48, 'largest AM of a page-selective IOTLB descriptor')),
  dwd: ro(54, 'write draining'),
  drd: ro(55, 'read draining'),
  fl1gp: ro(56, 'first-stage 1 GiB pages'),
  pi: ro(59, 'posted interrupts'),
  fl5lp: ro(60, 'first-stage 5-level paging'),
  ecmds: ro(61, 'enhanced command registers; from one source'),
  esirtps: ro(62, 'SIRTP also invalidates interrupt caches'),
  esrtps: ro(63, 'SRTP also invalidates all translation caches'),
});

/** Extended capabilities. Its reset value is a capability of the unit. */
export const ECAP = reg64('ECAP', 0x010, rsvdz('1.3'), {
  c: ro(0, 'page-walk coherency; 0: software flushes CPU cache lines'),
  qi: ro(1, 'queued invalidation'),
  dt: ro(2, 'device TLBs (ATS)'),
  ir: ro(3, 'interrupt remapping'),
  eim: ro(4, 'x2APIC destinations'),
  ch: ro(5, 'caching hints; deprecated'),
  pt: ro(6, 'pass-through'),
  sc: ro(7, 'snoop control'),
  iro: ro(bits(17, 8, 'IVA and IOTLB are at IRO*16')),
  mhmv: ro(bits(23, 20, 'largest index mask of an interrupt entry cache descriptor')),
  ecs: ro(24, 'extended context support; deprecated (in the first version [31:24] counted IOTLB units)'),
  mts: ro(25, 'memory types'),
  nest: ro(26, 'nested translation'),
  dis: ro(27, 'deferred invalidation: PASID-state table, extended mode only'),
  brokenPasid: ro(28, 'position of PASID in early silicon; deprecated'),
  prs: ro(29, 'page requests'),
  ers: ro(30, 'execute requests'),
  srs: ro(31, 'supervisor requests'),
  nwfs: ro(33, 'no-write flag of ATS translation requests'),
  eafs: ro(34, 'extended accessed flag'),
  pss: ro(bits(39, 35, 'PASID bits minus one')),
  pasid: ro(40, 'requests with PASID'),
  dit: ro(41, 'device-TLB invalidation throttle: PFSID'),
  pds: ro(42, 'page-request drain'),
  smts: ro(43, 'scalable mode'),
  vcs: ro(44, 'virtual command registers'),
  slads: ro(45, 'second-stage accessed and dirty flags'),
  slts: ro(46, 'second stage in scalable mode'),
  flts: ro(47, 'first stage in scalable mode'),
  smpwcs: ro(48, 'page-walk coherency in scalable mode: PWSNP allowed'),
  rps: ro(49, 'RID_PASID; without it the field must be 0'),
  pms: ro(51, 'performance monitoring'),
  adms: ro(52, 'abort-DMA mode'),
  rprivs: ro(53, 'RID_PRIV'),
  sms: ro(58, 'stop markers; from one source'),
});
