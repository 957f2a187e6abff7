import { describe, expect, it } from 'vitest';
import { eventName, smmuEvent, smmuPageRequest } from './event-points.js';

/** How a record of four 64-bit words is printed. */
function printed(...qwords: bigint[]): string {
  const words = Uint32Array.from(qwords.flatMap((word) => [Number(word & 0xffff_ffffn), Number(word >> 32n)]));
  const event = eventName(words[0]! & 0xff);
  const ssid = (words[0]! >>> 12) & 0xfffff;
  return smmuEvent.format({ smmu: 'smmu', words, event, client: '0000:00:02.0', sid: words[1]!, ssid });
}

const after = (line: string): string => line.slice(line.indexOf('event: '));

describe('the log text of an event (smmuv3.md 7.1)', () => {
  it('is the record and what it says: the sample of the sheet', () => {
    expect(printed(0x0000_0042_0000_5810n, 0x0000_0208_8000_0007n, 0x0000_7f12_3456_7abcn, 0n)).toBe(
      'smmu: event 0x10 received: 0x0000004200005810 0x0000020880000007 0x00007f1234567abc 0x0000000000000000 ' +
        'event: F_TRANSLATION client: 0000:00:02.0 sid: 0x42 ssid: 0x5 iova: 0x7f1234567abc ipa: 0x0 ' +
        'unpriv data read s1 "Input address caused fault" stall stag: 0x7',
    );
  });

  it('decodes the record of a real machine, whose undefined bits mean nothing (smmuv3.md 5.2)', () => {
    const line = printed(
      0x0000_7501_0000_1810n,
      0x0000_1200_8000_0176n,
      0x0000_aaaa_da7a_f000n,
      0x0000_aaaa_da7a_f000n,
    );
    expect(after(line)).toBe(
      'event: F_TRANSLATION client: 0000:00:02.0 sid: 0x7501 ssid: 0x1 iova: 0xaaaada7af000 ipa: 0x0 ' +
        'unpriv data write s1 "Input address caused fault" stall stag: 0x176',
    );
  });

  it('names rights, stage, class and the walk of a permission fault', () => {
    // dw1: PnU 33, InD 34, RnW 35, S2 39, CLASS=TT 40, TTRnW 44.
    const line = printed(0x0000_0042_0000_5813n, 0x0000_118e_0000_0000n, 0x1000n, 0x1234_5000n);
    expect(after(line)).toBe(
      'event: F_PERMISSION client: 0000:00:02.0 sid: 0x42 ssid: 0x5 iova: 0x1000 ipa: 0x12345000 ' +
        'priv inst read s2 "Stage 1 translation table fetch" ttd_read stag: 0x0',
    );
    expect(after(printed(0x13n, 0x0000_0180_0000_0000n, 0n, 0n))).toContain('ttd_write');
  });

  it('gives the address of a failed fetch', () => {
    expect(after(printed(0x0000_0042_0000_0009n, 0n, 0n, 0x0000_0001_4000_0040n))).toBe(
      'event: F_CD_FETCH client: 0000:00:02.0 sid: 0x42 ssid: 0x0 fetch_addr: 0x140000040',
    );
  });

  it('says no more than its name of others, and UNKNOWN of what the architecture does not have', () => {
    expect(after(printed(0x0000_0042_0000_580an, 0n, 0n, 0n))).toBe(
      'event: C_BAD_CD client: 0000:00:02.0 sid: 0x42 ssid: 0x5',
    );
    expect(after(printed(0xe1n, 0n, 0n, 0n))).toBe('event: UNKNOWN client: 0000:00:02.0 sid: 0x0 ssid: 0x0');
  });
});

describe('the log text of a page request that nobody handles (smmuv3.md 7.1)', () => {
  it('names stream, group, rights and address', () => {
    const record = {
      smmu: 'smmu',
      sid: 0x42,
      ssid: 5,
      group: 17,
      last: true,
      privileged: false,
      addr: 0x7f12_3456_7000n,
    };
    expect(smmuPageRequest.format({ ...record, read: true, write: false, exec: false })).toBe(
      'smmu: unexpected PRI request received: sid 0x00000042.0x00005: [17L] unprivileged R access at iova ' +
        '0x00007f1234567000',
    );
    const other = { ...record, last: false, privileged: true, read: true, write: true, exec: true };
    expect(smmuPageRequest.format(other)).toContain('[17] privileged RWX access');
  });
});
