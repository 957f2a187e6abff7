import { describe, expect, it } from 'vitest';
import * as s from './index.js';

/** vtd.md 3.12 b: ADDR with S=1, and what it names. */
const S_FORM: [addr: number, base: number, bytes: number][] = [
  [0x1_2344_0000, 0x1_2344_0000, 8 * 1024],
  [0x1_2344_1000, 0x1_2344_0000, 16 * 1024],
  [0x1_2344_3000, 0x1_2344_0000, 32 * 1024],
  [0x1_2345_f000, 0x1_2344_0000, 256 * 1024],
  [0x1_234f_f000, 0x1_2340_0000, 2 * 1024 * 1024],
  [0x7fff_ffff_ffff_f000, 0, 2 ** 64],
];

describe('device-TLB ranges', () => {
  it.each(S_FORM)('0x%x with S=1 covers what the lowest zero bit says', (addr, base, bytes) => {
    const range = s.decodeDeviceTlbRange(addr, 1);
    expect([range.base, 2 ** (12 + range.order)]).toEqual([base, bytes]);
    expect(s.encodeDeviceTlbRange(base, range.order)).toEqual({ addr, s: 1 });
  });

  it('are exactly one page with S=0', () => {
    expect(s.decodeDeviceTlbRange(0x1_2345_f000, 0)).toEqual({ base: 0x1_2345_f000, order: 0 });
    expect(s.encodeDeviceTlbRange(0x1_2345_f123, 0)).toEqual({ addr: 0x1_2345_f000, s: 0 });
  });

  it('round a start down that is not aligned, instead of shrinking', () => {
    expect(s.encodeDeviceTlbRange(0x1_2347_c000, 6)).toEqual({ addr: 0x1_2345_f000, s: 1 });
  });

  it('have no order beyond 52', () => {
    expect(() => s.encodeDeviceTlbRange(0, 53)).toThrow(RangeError);
    expect(() => s.encodeDeviceTlbRange(0, -1)).toThrow(RangeError);
    expect(() => s.encodeDeviceTlbRange(0, 0.5)).toThrow(RangeError);
  });

  it('with every bit set name everything', () => {
    expect(s.decodeDeviceTlbRange(0xffff_ffff_ffff_f000, 1)).toEqual({ base: 0, order: 52 });
  });
});

describe('IOTLB ranges', () => {
  it('ignore the page bits below AM', () => {
    expect(s.amRange(0x7f00_0000_7000, 2)).toEqual({ base: 0x7f00_0000_4000, order: 2 });
    expect(s.amRange(0x7f00_0000_7000, 0)).toEqual({ base: 0x7f00_0000_7000, order: 0 });
    expect(s.amRange(0xffff_ffff_ffff_f000, 9)).toEqual({ base: 0xffff_ffff_ffe0_0000, order: 9 });
    expect(s.amRange(0xffff_ffff_ffff_f000, 63)).toEqual({ base: 0, order: 52 });
  });
});

describe('sizes of tables and queues', () => {
  it('are those of the fact sheet', () => {
    expect([1, 2, 3].map(s.awLevels)).toEqual([3, 4, 5]);
    expect([1, 2, 3].map(s.awBits)).toEqual([39, 48, 57]);
    expect([s.directoryEntries(2), s.pasidLimit(2)]).toEqual([512, 32768]);
    expect([s.directoryEntries(7), s.pasidLimit(7)]).toEqual([16384, 0x10_0000]);
    expect([s.ecsPasidLimit(0), s.ecsPasidLimit(12), s.ecsPasidLimit(15)]).toEqual([32, 0x20000, 0x10_0000]);
    expect(s.pageRequestQueueEntries(4, 32)).toBe(2048);
    expect([s.pageRequestQueueEntries(0, 32), s.pageRequestQueueEntries(0, 16)]).toEqual([128, 256]);
    expect([s.invalidationQueueEntries(0, 0), s.invalidationQueueEntries(1, 1)]).toEqual([256, 256]);
  });

  it('and the quick constants too', () => {
    expect([s.PASID_BITS, s.PASID_COUNT, s.ECS_PASID_CAP]).toEqual([20, 0x10_0000, 0x20000]);
    expect([s.PASID_ENTRY_BYTES, s.PASID_DIR_BYTES, s.CONTEXT_BYTES, s.ROOT_BYTES]).toEqual([64, 8, 32, 16]);
    expect([s.ECS_PASID_BYTES, s.ECS_PASID_STATE_BYTES, s.LEGACY_CONTEXT_BYTES]).toEqual([8, 8, 16]);
    expect([s.PASID_TABLE_ENTRIES, s.QI_SLOTS, s.LINUX_PQS, s.FULL_ORDER]).toEqual([64, 256, 4, 52]);
    expect([s.PAGE_REQUEST_BYTES, s.ECS_PAGE_REQUEST_BYTES, s.PAGE_REQUEST_TYPE]).toEqual([32, 16, 1]);
    expect([s.DESCRIPTOR_128_BYTES, s.DESCRIPTOR_256_BYTES, s.FRCD_BYTES, s.IRTE_BYTES]).toEqual([16, 32, 16, 16]);
    expect(s.INTERRUPT_RANGE).toEqual({ first: 0xfee0_0000, last: 0xfeef_ffff });
    expect(s.requesterId(1, 0x08)).toBe(0x108);
    expect(s.FIRST_STAGE_DID).toBe(1);
    expect(s.SVM_FAULT).toEqual({ exec: 2, priv: 1, write: 4, read: 8 });
    expect(s.SVM_BIND).toEqual({ privatePasid: 1, supervisor: 2, guestMode: 4, guestPasid: 8 });
  });
});

describe('values of fields', () => {
  it('are the numbers of the fact sheet', () => {
    expect(s.TTM).toEqual({ LEGACY: 0, SCALABLE: 1, EXTENDED: 2, ABORT: 3 });
    expect(s.CONTEXT_GRANULARITY).toEqual({ NONE: 0, GLOBAL: 1, DOMAIN: 2, DEVICE: 3 });
    expect(s.FUNCTION_MASK).toEqual({ NONE: 0, BIT2: 1, BITS2_1: 2, BITS2_0: 3 });
    expect(s.IOTLB_GRANULARITY).toEqual({ NONE: 0, GLOBAL: 1, DOMAIN: 2, PAGE: 3 });
    expect(s.PASID_IOTLB_GRANULARITY).toEqual({ PASID: 2, PAGE: 3 });
    expect(s.ECS_IOTLB_GRANULARITY).toEqual({ ALL: 0, ALL_NON_GLOBAL: 1, PASID: 2, PAGE: 3 });
    expect(s.PASID_CACHE_GRANULARITY).toEqual({ DOMAIN: 0, PASID: 1, GLOBAL: 3 });
    expect(s.IEC_GRANULARITY).toEqual({ GLOBAL: 0, INDEX: 1 });
    expect(s.CONTEXT_TT).toEqual({ UNTRANSLATED: 0, DEVICE_TLB: 1, PASS_THROUGH: 2 });
    expect(s.ECS_TT).toEqual({
      UNTRANSLATED: 0,
      DEVICE_TLB: 1,
      PASS_THROUGH: 2,
      PASS_THROUGH_PASID: 4,
      PASS_THROUGH_PASID_DEVICE_TLB: 5,
    });
    expect(s.AW).toEqual({ BITS_39: 1, BITS_48: 2, BITS_57: 3 });
    expect(s.PGTT).toEqual({ FIRST_STAGE: 1, SECOND_STAGE: 2, NESTED: 3, PASS_THROUGH: 4 });
    expect(s.FLPM).toEqual({ LEVELS_4: 0, LEVELS_5: 1 });
    expect(s.IQEI).toEqual({ NONE: 0, TAIL: 1, FETCH: 2, TYPE: 3, RESERVED: 4, WIDTH: 5, TAIL_ALIGN: 6, TTM: 7 });
    expect(s.RESPONSE).toEqual({ SUCCESS: 0, INVALID: 1, FAILURE: 15 });
    expect(s.ADDRESS_TYPE).toEqual({ UNTRANSLATED: 0, TRANSLATION_REQUEST: 1, TRANSLATED: 2 });
    expect(s.ECMD_COMMAND).toEqual({ ENABLE: 0xf0, DISABLE: 0xf1, FREEZE: 0xf4, UNFREEZE: 0xf5 });
  });
});
