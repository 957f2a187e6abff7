import { type AnyLayout, address, bit, bits, dw, type FieldSpecs, preset, table } from '@iommukit/bitfield';
import {
  ContextCacheInv,
  DESCRIPTOR,
  DESCRIPTOR_128_BYTES,
  DeviceTlbInv,
  InterruptEntryInv,
  InvWait,
  IotlbInv,
} from './descriptors.js';
import { ECS_IOTLB_GRANULARITY, PASID_CACHE_GRANULARITY, RESPONSE } from './values.js';

const declare = <const S extends FieldSpecs>(name: string, section: string, fields: S) =>
  table(name, DESCRIPTOR_128_BYTES, { ref: `vtd.md ${section}`, gaps: 'reserved-zero' }, fields);
const type = (value: number) => ({ type: preset(value, bits(3, 0, DESCRIPTOR, 'the descriptor')) });
const pasid = { pasid: bits(51, 32, 'PASID') };
const did = { did: bits(31, 16, 'domain') };
const rc = { rc: bits(3, 0, RESPONSE, 'response code') };
const priv = { private: bits(54, 32, 'private data, from the request') };
const prgi = { prgi: bits(63, 55, 'page request group') };

/** Extended mode: drops cached translations of PASIDs. */
export const EcsIotlbInv = declare('ext_iotlb_inv', '3.6', {
  ...type(DESCRIPTOR.PASID_IOTLB),
  g: bits(5, 4, ECS_IOTLB_GRANULARITY, 'what to drop'),
  ...did,
  ...pasid,
  ...dw(1, {
    am: bits(5, 0, '2^AM pages'),
    ih: bit(6, 'only leaf entries changed'),
    gl: bit(7, 'global pages too'),
    addr: address(63, 12, 'first page; its low AM page bits are ignored'),
  }),
});

/** Extended mode: drops cached PASID entries; the granularity GLOBAL is absent. */
export const EcsPasidCacheInv = declare('ext_pc_inv', '3.7', {
  ...type(DESCRIPTOR.PASID_CACHE),
  g: bits(5, 4, PASID_CACHE_GRANULARITY, 'what to drop; 2 and 3 are invalid'),
  ...did,
  ...pasid,
});

/** Extended mode: drops translations of PASIDs in a device's TLB. */
export const EcsDeviceTlbInv = declare('ext_dev_tlb_inv', '3.8', {
  ...type(DESCRIPTOR.PASID_DEVICE_TLB),
  mip: bits(8, 4, 'invalidations that the device takes at a time; 0 is 32'),
  pfsidLow: bits(15, 12, 'PFSID[3:0] (D-1)'),
  sid: bits(31, 16, 'requester'),
  ...pasid,
  pfsidHigh: bits(63, 52, 'PFSID[15:4] (D-1)'),
  ...dw(1, {
    glob: bit(0, 'all PASIDs of the function'),
    s: bit(11, '1: the size is in the low bits of ADDR; 0: one page'),
    addr: address(63, 12, 'pages'),
  }),
});

/** Extended mode: answers a group of page requests. */
export const EcsPageGroupResponse = declare('ext_page_grp_resp', '3.10', {
  ...type(DESCRIPTOR.PAGE_GROUP_RESPONSE),
  pp: bit(4, 'PASID present'),
  rid: bits(31, 16, 'requester'),
  ...pasid,
  ...dw(1, { ...rc, ...priv, ...prgi }),
});

/** Extended mode: answers one page request with SRR=1 that is not the last of its group. */
export const EcsPageStreamResponse = declare('page_stream_resp', '3.11', {
  ...type(DESCRIPTOR.PAGE_STREAM_RESPONSE),
  pasid: bits(23, 4, 'PASID'),
  bus: bits(31, 24, 'bus'),
  ...priv,
  ...prgi,
  ...dw(1, { ...rc, devfn: bits(11, 4, 'device and function'), addr: address(63, 12, 'the page') }),
});

/** Descriptors of the extended mode, all of 128 bits, by type. */
export const DESCRIPTORS_ECS: Readonly<Partial<Record<number, AnyLayout>>> = {
  [DESCRIPTOR.CONTEXT_CACHE]: ContextCacheInv,
  [DESCRIPTOR.IOTLB]: IotlbInv,
  [DESCRIPTOR.DEVICE_TLB]: DeviceTlbInv,
  [DESCRIPTOR.INTERRUPT_ENTRY]: InterruptEntryInv,
  [DESCRIPTOR.WAIT]: InvWait,
  [DESCRIPTOR.PASID_IOTLB]: EcsIotlbInv,
  [DESCRIPTOR.PASID_CACHE]: EcsPasidCacheInv,
  [DESCRIPTOR.PASID_DEVICE_TLB]: EcsDeviceTlbInv,
  [DESCRIPTOR.PAGE_GROUP_RESPONSE]: EcsPageGroupResponse,
  [DESCRIPTOR.PAGE_STREAM_RESPONSE]: EcsPageStreamResponse,
};
