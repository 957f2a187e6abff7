import { describe, expect, it } from 'vitest';
import {
  decodePageRequest,
  decodePrgResponse,
  decodeTranslation,
  encodeInvalidate,
  encodeInvalidateCompletion,
  encodePageRequest,
  encodePrgResponse,
  encodeTranslation,
} from './encode.js';

describe('encoded examples of the fact sheet (pcie-ats.md 6)', () => {
  it('encodes a page request for reading, the last of group 0x11', () => {
    const request = { kind: 'page-request', pasid: 1, prgi: 0x11, page: 0x7f1234567, perm: 1, last: true } as const;
    expect(encodePageRequest(request)).toEqual([0x3456708d, 0x00007f12]);
    expect(decodePageRequest(0x3456708d, 0x00007f12, 1)).toEqual(request);
  });

  it('encodes a stop marker', () => {
    const marker = { kind: 'page-request', pasid: 1, prgi: 0, page: 0, perm: 0, last: true } as const;
    expect(encodePageRequest(marker)).toEqual([4, 0]);
    expect(decodePageRequest(4, 0, 1)).toEqual(marker);
  });

  it('takes execute and privileged wishes of a page request from the prefix', () => {
    expect(decodePageRequest(0x1003, 0, 5, true, true).perm).toBe(15);
  });

  it.each([
    [0x1ff, 0, 0x01ff],
    [3, 1, 0x1003],
    [3, 15, 0xf003],
  ])('encodes the PRG response of group 0x%i with code %i', (prgi, code, word) => {
    expect(encodePrgResponse(prgi, code)).toBe(word);
    expect(decodePrgResponse(word, -1)).toEqual({ kind: 'prg-response', pasid: -1, prgi, code });
  });

  it('encodes invalidations of 16 KiB, of everything, and for every PASID', () => {
    expect(encodeInvalidate(8, 2)).toEqual([0x9800, 0]);
    expect(encodeInvalidate(0, 52)).toEqual([0xfffff800, 0x7fffffff]);
    expect(encodeInvalidate(8, 2, true)).toEqual([0x9801, 0]);
  });

  it('encodes a translation of 2 MiB with read and write', () => {
    const entries = new Uint32Array(4);
    encodeTranslation(entries, 2, 0x40000, 9, 3);
    expect([...entries]).toEqual([0, 0, 0x400ff803, 0]);
  });

  it('puts every flag of a translation at its place (pcie-ats.md 2.4)', () => {
    const out = { page: 0, order: 0, perm: 0, attributes: 0 };
    const decode = (lo: number): readonly [number, number] => {
      decodeTranslation(lo, 0, out);
      return [out.perm, out.attributes];
    };
    expect(decode(0x5001)).toEqual([1, 0]);
    expect(decode(0x5002)).toEqual([2, 0]);
    expect(decode(0x5004)).toEqual([0, 4]);
    expect(decode(0x5008)).toEqual([4, 0]);
    expect(decode(0x5010)).toEqual([8, 0]);
    expect(decode(0x5020)).toEqual([0, 0x20]);
    expect(decode(0x5400)).toEqual([0, 0x400]);
    const entries = new Uint32Array(2);
    encodeTranslation(entries, 0, 5, 0, 15, 0x424);
    expect(entries[0]).toBe(0x543f);
  });

  it('encodes an invalidate completion for ITags 0 and 31 to 0000:00:03.0', () => {
    expect(encodeInvalidateCompletion(0x80000001, 1, 0x18)).toEqual([0x80000001, 0x00180001]);
    expect(encodeInvalidateCompletion(1, 8, 0x18)).toEqual([1, 0x00180000]);
  });
});
