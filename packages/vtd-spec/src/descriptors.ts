import {
  type AnyLayout,
  address,
  bit,
  bits,
  dw,
  enumOf,
  type FieldSpecs,
  preset,
  table,
  wide,
} from '@iommukit/bitfield';
import {
  CONTEXT_GRANULARITY,
  FUNCTION_MASK,
  IEC_GRANULARITY,
  IOTLB_GRANULARITY,
  PASID_CACHE_GRANULARITY,
  PASID_IOTLB_GRANULARITY,
  RESPONSE,
} from './values.js';

/** Types of invalidation descriptors (vtd.md 3). */
export const DESCRIPTOR = enumOf({
  CONTEXT_CACHE: 1,
  IOTLB: 2,
  DEVICE_TLB: 3,
  INTERRUPT_ENTRY: 4,
  WAIT: 5,
  PASID_IOTLB: 6,
  PASID_CACHE: 7,
  PASID_DEVICE_TLB: 8,
  PAGE_GROUP_RESPONSE: 9,
  PAGE_STREAM_RESPONSE: 0xa,
});

/** Bytes of a descriptor with IQA.DW=0: legacy and extended mode (vtd.md 3). */
export const DESCRIPTOR_128_BYTES = 16;
/** Bytes of a descriptor with IQA.DW=1: scalable mode, and legacy mode if software likes (vtd.md 3). */
export const DESCRIPTOR_256_BYTES = 32;

/**
 * The type of a descriptor by its lowest 32 bits: qw0[3:0], with qw0[11:9] above them, which is 0 in all known types. In the
 * extended mode only qw0[3:0] (vtd.md 3).
 */
export const descriptorType = (low: number, extended = false): number =>
  extended ? low & 0xf : (low & 0xf) | (((low >>> 9) & 7) << 4);

const options = (section: string) => ({ ref: `vtd.md ${section}`, gaps: 'reserved-zero' }) as const;
const type = (value: number) => ({
  type: preset(value, bits(3, 0, DESCRIPTOR, 'the descriptor')),
  typeHigh: bits(11, 9, 'upper bits of the type, 0'),
});
const narrow = <const S extends FieldSpecs>(name: string, section: string, fields: S) =>
  table(name, DESCRIPTOR_128_BYTES, options(section), fields);
const broad = <const S extends FieldSpecs>(name: string, section: string, fields: S) =>
  table(name, DESCRIPTOR_256_BYTES, options(section), fields);

const pfsid = { pfsidLow: bits(15, 12, 'PFSID[3:0]; 0 without ECAP.DIT') };
const pfsidHigh = { pfsidHigh: bits(63, 52, 'PFSID[15:4]; 0 without ECAP.DIT') };
const range = {
  am: bits(5, 0, '2^AM pages'),
  ih: bit(6, 'only leaf entries changed'),
  addr: address(63, 12, 'first page; its low AM page bits are ignored'),
};

const contextCache = {
  ...type(DESCRIPTOR.CONTEXT_CACHE),
  g: bits(5, 4, CONTEXT_GRANULARITY, 'what to drop; 0 is invalid'),
  did: bits(31, 16, 'domain; ignored in scalable mode'),
  sid: bits(47, 32, 'requester'),
  fm: bits(49, 48, FUNCTION_MASK, 'function bits of SID that are not compared'),
};
/** Drops cached context entries. */
export const ContextCacheInv = narrow('cc_inv', '3.1', contextCache);
/** {@link ContextCacheInv} of 256 bits. */
export const ContextCacheInv256 = broad('cc_inv', '3.1', contextCache);

const iotlb = {
  ...type(DESCRIPTOR.IOTLB),
  g: bits(5, 4, IOTLB_GRANULARITY, 'what to drop; 0 is invalid'),
  dw: bit(6, 'drain writes'),
  dr: bit(7, 'drain reads'),
  did: bits(31, 16, 'domain'),
  ...dw(1, range),
};
/** Drops cached translations of a domain. PAGE needs CAP.PSI and AM up to CAP.MAMV. */
export const IotlbInv = narrow('iotlb_inv', '3.2', iotlb);
/** {@link IotlbInv} of 256 bits. */
export const IotlbInv256 = broad('iotlb_inv', '3.2', iotlb);

const deviceTlb = {
  ...type(DESCRIPTOR.DEVICE_TLB),
  ...pfsid,
  mip: bits(20, 16, 'invalidations that the device takes at a time; 0 is 32'),
  sid: bits(47, 32, 'requester'),
  ...pfsidHigh,
  ...dw(1, {
    s: bit(0, '1: the size is in the low bits of ADDR; 0: one page'),
    addr: address(63, 12, 'pages'),
  }),
};
/** Drops translations in a device's TLB, without PASID. */
export const DeviceTlbInv = narrow('dev_tlb_inv', '3.3', deviceTlb);
/** {@link DeviceTlbInv} of 256 bits. */
export const DeviceTlbInv256 = broad('dev_tlb_inv', '3.3', deviceTlb);

const interruptEntry = {
  ...type(DESCRIPTOR.INTERRUPT_ENTRY),
  g: bits(4, 4, IEC_GRANULARITY, 'what to drop'),
  im: bits(31, 27, '2^IM entries, up to ECAP.MHMV'),
  iidx: bits(47, 32, 'first entry'),
};
/** Drops cached interrupt remapping entries. */
export const InterruptEntryInv = narrow('iec_inv', '3.4', interruptEntry);
/** {@link InterruptEntryInv} of 256 bits. */
export const InterruptEntryInv256 = broad('iec_inv', '3.4', interruptEntry);

const wait = {
  ...type(DESCRIPTOR.WAIT),
  if: bit(4, 'raise the completion event'),
  sw: bit(5, 'write the status data'),
  fn: bit(6, 'fence: later descriptors are not fetched before'),
  pd: bit(7, 'drain page requests; reserved without ECAP.PDS'),
  statusData: bits(63, 32, 'what is written'),
  ...dw(1, {
    statusAddress: address(51, 2, 'where it is written'),
    statusAddressHigh: bits(63, 52, 'STATUS_ADDRESS[63:52], beyond every host address width'),
  }),
};
/** Completes after all earlier descriptors, acknowledgements of device TLBs included. */
export const InvWait = narrow('inv_wait', '3.5', wait);
/** {@link InvWait} of 256 bits. */
export const InvWait256 = broad('inv_wait', '3.5', wait);

const did = { did: bits(31, 16, 'domain') };
const pasid = { pasid: bits(51, 32, 'PASID') };

/** Drops cached translations of a PASID. AM is not limited by CAP.MAMV, and PAGE does not need CAP.PSI (VTD-22). */
export const PasidIotlbInv = broad('p_iotlb_inv', '3.6', {
  ...type(DESCRIPTOR.PASID_IOTLB),
  g: bits(5, 4, PASID_IOTLB_GRANULARITY, 'what to drop; 0 and 1 are invalid'),
  ...did,
  ...pasid,
  ...dw(1, range),
});

/** Drops cached PASID entries. */
export const PasidCacheInv = broad('pc_inv', '3.7', {
  ...type(DESCRIPTOR.PASID_CACHE),
  g: bits(5, 4, PASID_CACHE_GRANULARITY, 'what to drop; 2 is invalid'),
  ...did,
  ...pasid,
});

/** Drops translations of a PASID in a device's TLB. SID and S do not stand where {@link DeviceTlbInv} has them. */
export const PasidDeviceTlbInv = broad('p_dev_tlb_inv', '3.8', {
  type: preset(DESCRIPTOR.PASID_DEVICE_TLB, bits(3, 0, DESCRIPTOR, 'the descriptor')),
  mip: bits(8, 4, 'invalidations that the device takes at a time; 0 is 32'),
  typeHigh: bits(11, 9, 'upper bits of the type, 0'),
  ...pfsid,
  sid: bits(31, 16, 'requester'),
  ...pasid,
  ...pfsidHigh,
  ...dw(1, {
    g: bit(0, 'all PASIDs of the function'),
    s: bit(11, '1: the size is in the low bits of ADDR; 0: one page'),
    addr: address(63, 12, 'pages'),
  }),
});

/** Answers a group of page requests, in scalable mode. */
export const PageGroupResponse = broad('page_grp_resp', '3.9', {
  ...type(DESCRIPTOR.PAGE_GROUP_RESPONSE),
  pp: bit(4, 'PASID present'),
  pdp: bit(5, 'private data present: spec 3.0 to 3.x, reserved later (D-3)'),
  rc: bits(15, 12, RESPONSE, 'response code'),
  rid: bits(31, 16, 'requester'),
  ...pasid,
  ...dw(1, {
    lpig: bit(2, 'last of the group: spec 3.0 to 3.x, ignore (D-3)'),
    prgi: bits(11, 3, 'page request group'),
  }),
  ...dw(2, { privLow: wide(63, 0, 'private data, only with PDP=1') }),
  ...dw(3, { privHigh: wide(63, 0, 'private data, only with PDP=1') }),
});

/** Descriptors of 128 bits in legacy mode, by type. */
export const DESCRIPTORS_128: Readonly<Partial<Record<number, AnyLayout>>> = {
  [DESCRIPTOR.CONTEXT_CACHE]: ContextCacheInv,
  [DESCRIPTOR.IOTLB]: IotlbInv,
  [DESCRIPTOR.DEVICE_TLB]: DeviceTlbInv,
  [DESCRIPTOR.INTERRUPT_ENTRY]: InterruptEntryInv,
  [DESCRIPTOR.WAIT]: InvWait,
};

/** Descriptors of 256 bits, by type: all in scalable mode, up to 5 in legacy mode. */
export const DESCRIPTORS_256: Readonly<Partial<Record<number, AnyLayout>>> = {
  [DESCRIPTOR.CONTEXT_CACHE]: ContextCacheInv256,
  [DESCRIPTOR.IOTLB]: IotlbInv256,
  [DESCRIPTOR.DEVICE_TLB]: DeviceTlbInv256,
  [DESCRIPTOR.INTERRUPT_ENTRY]: InterruptEntryInv256,
  [DESCRIPTOR.WAIT]: InvWait256,
  [DESCRIPTOR.PASID_IOTLB]: PasidIotlbInv,
  [DESCRIPTOR.PASID_CACHE]: PasidCacheInv,
  [DESCRIPTOR.PASID_DEVICE_TLB]: PasidDeviceTlbInv,
  [DESCRIPTOR.PAGE_GROUP_RESPONSE]: PageGroupResponse,
};
