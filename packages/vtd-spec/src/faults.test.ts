import { describe, expect, it } from 'vitest';
import {
  FAULT,
  FAULT_REASONS,
  FAULT_TYPE,
  type FpdHolder,
  FRCD_F,
  FRCD_WORDS,
  faultTypeBits,
  isSuppressed,
} from './index.js';

/** vtd.md 5.1 and 5.2, row by row: number, id, whose FPD qualifies (u none, c context, d directory, p PASID, i IRTE), class. */
const SHEET = `
0x00 - u N, 0x01 LRT.2 u N, 0x02 LCT.2 c N, 0x03 LCT.4 c N, 0x04 LGN.1 c N, 0x05 LGN.2 c R, 0x06 LGN.3 c R,
0x07 LSL.1 c N, 0x08 LRT.1 u N, 0x09 LCT.1 u N, 0x0a LRT.3 u N, 0x0b LCT.3 c N, 0x0c LSL.2 c N, 0x0d LCT.5 c N,
0x0e LGN.4 c N, 0x20 IR u N, 0x21 IR u N, 0x22 IR i N, 0x23 IR u N, 0x24 IR i N, 0x25 IR u N, 0x26 IR i N,
0x27 IR i N, 0x28 IR i N, 0x29 IR u N, 0x30 RTA.1 u N, 0x31 RTA.2 u N, 0x32 RTA.3 u N, 0x33 RTA.4 u N,
0x38 SRT.1 u N, 0x39 SRT.2 u N, 0x3a SRT.3 u N, 0x40 SCT.1 u N, 0x41 SCT.2 c N, 0x42 SCT.3 c N, 0x43 SCT.4 c N,
0x44 SCT.5 c N, 0x45 SCT.6 c N, 0x46 SCT.7 c N, 0x47 SCT.8 c N, 0x48 SCT.9 c N, 0x50 SPD.1 u N, 0x51 SPD.2 cd N,
0x52 SPD.3 cd N, 0x58 SPT.1 u N, 0x59 SPT.2 cdp N, 0x5a SPT.3 cdp N, 0x5b SPT.4 cdp N, 0x5c SPT.5 cdp N,
0x5d SPT.6 cdp N, 0x70 SFS.1 cdp N, 0x71 SFS.2 cdp R, 0x72 SFS.3 cdp N, 0x73 SFS.4 cdp N, 0x74 SFS.5 cdp N,
0x75 SFS.6 cdp R, 0x76 SFS.7 cdp R, 0x77 SFS.8 cdp R, 0x78 SSS.1 cdp N, 0x79 SSS.2 cdp R, 0x7a SSS.3 cdp N,
0x7b SSS.4 cdp N, 0x7c SSS.5 cdp N, 0x7d SSS.6 cdp N, 0x80 SGN.1 cdp N, 0x81 SGN.2 cdp R, 0x82 SGN.3 cdp R,
0x83 SGN.4 cdp N, 0x84 SGN.5 cdp N, 0x85 SGN.6 cdp R, 0x86 SGN.7 cdp R, 0x87 SGN.8 cdp N, 0x88 SGN.9 u ?,
0x89 SGN.10 u ?, 0x90 SFS.9 cdp N, 0x91 SFS.10 cdp N`;

const HOLDER: Readonly<Record<string, FpdHolder>> = { c: 'context', d: 'directory', p: 'pasid', i: 'irte' };
const CLASS: Readonly<Record<string, string>> = { R: 'recoverable', N: 'non-recoverable', '?': 'unknown' };
const rows = SHEET.trim()
  .split(/,\s+/)
  .map((row) => row.split(' '))
  .map(([number, id, qualified, faultClass]) => ({
    reason: Number(number),
    id: id === '-' ? '' : id,
    qualifiedBy: qualified === 'u' ? [] : [...qualified].map((letter) => HOLDER[letter]),
    class: CLASS[faultClass],
  }));

describe('fault reasons', () => {
  it('are those of the fact sheet, with their qualification and class', () => {
    const found = [...FAULT_REASONS.values()].map(({ reason, id, qualifiedBy, class: c }) => ({
      reason,
      id,
      qualifiedBy,
      class: c,
    }));
    expect(found).toEqual(rows);
    expect([...FAULT_REASONS.keys()]).toEqual(rows.map(({ reason }) => reason));
    expect(Object.values(FAULT)).toEqual(rows.map(({ reason }) => reason));
  });

  it('have the numbers that their names say', () => {
    const { FS_NOT_PRESENT, PASID_NOT_PRESENT, SM_PRE, SM_DTE, SM_WRITE, SM_READ, CONTEXT_NOT_PRESENT, WRITE } = FAULT;
    expect([FS_NOT_PRESENT, PASID_NOT_PRESENT, SM_PRE, SM_DTE]).toEqual([0x71, 0x59, 0x47, 0x44]);
    expect([SM_WRITE, SM_READ, CONTEXT_NOT_PRESENT, WRITE]).toEqual([0x85, 0x86, 0x02, 0x05]);
    expect([FAULT.SM_NOT_CANONICAL, FAULT.SM_USER, FAULT.PASID_INVALID, FAULT.TTM]).toEqual([0x80, 0x81, 0x5b, 0x30]);
    for (const { meaning } of FAULT_REASONS.values()) expect(meaning).not.toBe('');
  });

  it('are suppressed by the FPD of a structure that qualifies them, the not-present one included', () => {
    expect(isSuppressed(0x59, { pasid: true })).toBe(true);
    expect(isSuppressed(0x59, { context: false, directory: true })).toBe(true);
    expect(isSuppressed(0x59, { context: false, directory: false, pasid: false })).toBe(false);
    expect(isSuppressed(0x41, { context: true })).toBe(true);
    expect(isSuppressed(0x41, { pasid: true })).toBe(false);
    expect(isSuppressed(0x22, { irte: true })).toBe(true);
    expect(isSuppressed(0x22, { context: true })).toBe(false);
  });

  it('of failed reads are recorded even if an ancestor has FPD=1', () => {
    const all = { context: true, directory: true, pasid: true, irte: true };
    for (const reason of [0x38, 0x40, 0x50, 0x58, 0x08, 0x09, 0x30, 0x31, 0x32]) {
      expect([reason, isSuppressed(reason, all)]).toEqual([reason, false]);
    }
    expect(isSuppressed(0xee, all)).toBe(false);
  });
});

describe('fault records', () => {
  it('say what was wanted in T1 and T2', () => {
    expect([FAULT_TYPE.WRITE, FAULT_TYPE.PAGE_REQUEST, FAULT_TYPE.READ, FAULT_TYPE.ATOMIC].map(faultTypeBits)).toEqual([
      { t1: 0, t2: 0 },
      { t1: 0, t2: 1 },
      { t1: 1, t2: 0 },
      { t1: 1, t2: 1 },
    ]);
  });

  it('are read and cleared in words of 32 bits', () => {
    expect([FRCD_WORDS, FRCD_F]).toEqual([{ fiLow: 0, fiHigh: 4, source: 8, reason: 12 }, 0x8000_0000]);
  });
});
