import { describe, expect, it } from 'vitest';
import { hex, words } from '../test/words.js';
import {
  CBadSubstreamid,
  CONFIGURATION_ERRORS,
  EPageRequest,
  EVENT,
  EVENT_CLASS,
  EVENTS,
  EventHeader,
  FBadAtsTreq,
  FCdFetch,
  FPermission,
  FSteFetch,
  FStreamDisabled,
  FTlbConflict,
  FTranslation,
  FTranslForbidden,
  FUut,
  FVmsFetch,
  FWalkEabt,
  PriRequest,
  STALLABLE_FAULTS,
} from './index.js';

describe('event records', () => {
  it('encode the worked example of a stalled read', () => {
    const record = FTranslation.make({
      sid: 0x42,
      ssv: 1,
      ssid: 5,
      stag: 7,
      stall: 1,
      rnw: 1,
      class: EVENT_CLASS.IN,
      inputAddr: 0x7f12_3456_7abc,
    });
    expect(hex(record)).toEqual([
      '0x0000004200005810',
      '0x0000020880000007',
      '0x00007f1234567abc',
      '0x0000000000000000',
    ]);
  });

  it('decode a stalled SVA write as a server machine logged it, undefined bits and all', () => {
    const raw = words(0x0000_7501_0000_1810n, 0x0000_1200_8000_0176n, 0x0000_aaaa_da7a_f000n, 0x0000_aaaa_da7a_f000n);
    const layout = EVENTS[EventHeader.f.eventId.get(raw)];
    expect(layout?.name).toBe('F_TRANSLATION');
    expect(FTranslation.decode(raw)).toMatchObject({
      sid: 0x7501,
      ssv: 1,
      ssid: 1,
      stag: 0x176,
      stall: 1,
      rnw: 0,
      pnu: 0,
      ind: 0,
      s2: 0,
      class: EVENT_CLASS.IN,
      inputAddr: { lo: 0xda7a_f000, hi: 0xaaaa },
    });
  });

  it('decode a permission fault as a Linux 6.12 kernel logged it', () => {
    const raw = words(0x0000_0030_0000_0013n, 0x0000_0200_0000_0000n, 0x0000_0000_3010_0010n, 0n);
    expect(FPermission.decode(raw)).toMatchObject({ eventId: 0x13, ssv: 0, sid: 0x30, rnw: 0, class: 2, stall: 0 });
    expect(FPermission.hasReserved(raw)).toBe(false);
    expect(EVENTS[0x13]?.format(raw, { zeros: false })).toContain('InputAddr  [191:128]  0x0000000030100010');
  });

  it('keep the flags of a translation fault where they belong', () => {
    const at = (values: Parameters<typeof FPermission.make>[0]) => hex(FPermission.make(values)).slice(1);
    const zero = '0x0000000000000000';
    expect(at({ pnu: 1, ind: 1 })).toEqual(['0x0000000600000000', zero, zero]);
    expect(at({ s2: 1, ttrnw: 1, ipa: 0x12_3000 })).toEqual(['0x0000108000000000', zero, '0x0000000000123000']);
  });

  it('encode the other layouts', () => {
    const zero = '0x0000000000000000';
    const rows: [Uint32Array, string[]][] = [
      [
        FUut.make({ sid: 1, reason: 0xffff, pnu: 1, ind: 1, rnw: 1, inputAddr: 0x1234 }),
        ['0x0000000100000001', '0x0000000e0000ffff', '0x0000000000001234', zero],
      ],
      [
        FSteFetch.make({ sid: 2, reason: 1, gpcf: 1, fetchAddr: 0x4000_0008 }),
        ['0x0000000200000003', '0x0000000000010001', zero, '0x0000000040000008'],
      ],
      [FBadAtsTreq.make({ sid: 3, inputAddr: 0x1000 }), ['0x0000000300000005', zero, '0x0000000000001000', zero]],
      [FStreamDisabled.make({ sid: 4 }), ['0x0000000400000006', zero, zero, zero]],
      [
        FTranslForbidden.make({ sid: 5, rnw: 1, inputAddr: 0x1000 }),
        ['0x0000000500000007', '0x0000000800000000', '0x0000000000001000', zero],
      ],
      [CBadSubstreamid.make({ sid: 6, ssid: 0xfffff }), ['0x00000006fffff008', zero, zero, zero]],
      [
        FCdFetch.make({ sid: 7, fetchAddr: 0xff_ffff_ffff_fff8 }),
        ['0x0000000700000009', zero, zero, '0x00fffffffffffff8'],
      ],
      [
        FWalkEabt.make({ sid: 8, reason: 2, rnw: 1, s2: 1, class: 1, fetchAddr: 8 }),
        ['0x000000080000000b', '0x0000018800000002', zero, '0x0000000000000008'],
      ],
      [
        FTlbConflict.make({ sid: 9, reason: 3, s2: 1, ipa: 0x1000 }),
        ['0x0000000900000020', '0x0000008000000003', zero, '0x0000000000001000'],
      ],
      [
        EPageRequest.make({ sid: 10, ux: 1, uw: 1, ur: 1, span: 0xff, inputAddr: 0x1000 }),
        ['0x0000000a00000024', '0x000ff00e00000000', '0x0000000000001000', zero],
      ],
      [EPageRequest.make({ sid: 10, px: 1, pw: 1, pr: 1 }), ['0x0000000a00000024', '0x000000e000000000', zero, zero]],
      [
        FVmsFetch.make({ sid: 11, reason: 1, fetchAddr: 0x1000 }),
        ['0x0000000b00000025', '0x0000000000000001', zero, '0x0000000000001000'],
      ],
    ];
    for (const [record, expected] of rows) expect(hex(record)).toEqual(expected);
  });

  it('have the numbers of the specification, each with its declaration', () => {
    expect(EVENT).toEqual({
      F_UUT: 0x01,
      C_BAD_STREAMID: 0x02,
      F_STE_FETCH: 0x03,
      C_BAD_STE: 0x04,
      F_BAD_ATS_TREQ: 0x05,
      F_STREAM_DISABLED: 0x06,
      F_TRANSL_FORBIDDEN: 0x07,
      C_BAD_SUBSTREAMID: 0x08,
      F_CD_FETCH: 0x09,
      C_BAD_CD: 0x0a,
      F_WALK_EABT: 0x0b,
      F_TRANSLATION: 0x10,
      F_ADDR_SIZE: 0x11,
      F_ACCESS: 0x12,
      F_PERMISSION: 0x13,
      F_TLB_CONFLICT: 0x20,
      F_CFG_CONFLICT: 0x21,
      E_PAGE_REQUEST: 0x24,
      F_VMS_FETCH: 0x25,
    });
    for (const [name, id] of Object.entries(EVENT)) {
      expect([EVENTS[id]?.name, EVENTS[id]?.make()[0], EVENTS[id]?.bytes]).toEqual([name, id, 32]);
    }
  });

  it('are stallable only where CD.A, R and S apply', () => {
    expect(STALLABLE_FAULTS).toEqual([0x10, 0x11, 0x12, 0x13]);
    expect(CONFIGURATION_ERRORS.filter((id) => STALLABLE_FAULTS.includes(id))).toEqual([]);
  });
});

describe('page requests', () => {
  it('encode the worked examples', () => {
    const read = PriRequest.make({ sid: 0x42, ssv: 1, ssid: 5, r: 1, last: 1, prgIndex: 0x11, addr: 0x7f12_3456_7000 });
    expect(hex(read)).toEqual(['0xd000000500000042', '0x00007f1234567011']);
    const stop = PriRequest.make({ sid: 0x42, ssv: 1, ssid: 5, last: 1 });
    expect(hex(stop)).toEqual(['0xc000000500000042', '0x0000000000000000']);
  });

  it('decode what they encode', () => {
    const raw = words(0xd000_0005_0000_0042n, 0x0000_7f12_3456_7011n);
    expect(PriRequest.decode(raw)).toEqual({
      sid: 0x42,
      ssid: 5,
      priv: 0,
      x: 0,
      r: 1,
      w: 0,
      last: 1,
      ssv: 1,
      prgIndex: 0x11,
      addr: 0x7f12_3456_7000,
    });
  });
});
