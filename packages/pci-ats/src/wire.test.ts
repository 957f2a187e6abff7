import { describe, expect, it } from 'vitest';
import {
  addressTypeOf,
  bodyOfBytes,
  bytesOfBody,
  decodeInvalidate,
  decodeInvalidateCompletion,
  decodePasidPrefix,
  decodePrgResponseMessage,
  encodeInvalidate,
  encodePasidPrefix,
  encodePrgResponseMessage,
  MESSAGE,
  withAddressType,
} from './index.js';

const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');

describe('messages on the wire (pcie-ats.md 2)', () => {
  it('have the codes and routings of the fact sheet (2.5)', () => {
    expect(MESSAGE).toEqual({
      INVALIDATE_REQUEST: { code: 1, routing: 2, data: true },
      INVALIDATE_COMPLETION: { code: 2, routing: 2, data: false },
      PAGE_REQUEST: { code: 4, routing: 0, data: false },
      PRG_RESPONSE: { code: 5, routing: 2, data: false },
    });
  });

  it.each([
    [{ pasid: 0, exec: false, priv: false }, 0x91000000],
    [{ pasid: 0x12345, exec: false, priv: false }, 0x91012345],
    [{ pasid: 0xfffff, exec: true, priv: false }, 0x911fffff],
    [{ pasid: 5, exec: false, priv: true }, 0x91200005],
  ])('write and read the PASID prefix of %j (2.2)', (tag, word) => {
    expect(encodePasidPrefix(tag)).toBe(word);
    expect(decodePasidPrefix(word)).toEqual(tag);
  });

  it.each([0x90000005, 0x00000005, 0x11000005, 0xffffffff])('take 0x%s for no PASID prefix', (word) => {
    expect(decodePasidPrefix(word)).toBeNull();
  });

  it('say in bits 11:10 of a memory request what its address is (2.1)', () => {
    expect([0x000, 0x400, 0x800, 0xc00].map(addressTypeOf)).toEqual([0, 1, 2, 3]);
    expect(withAddressType(0x60000c01, 2)).toBe(0x60000801);
    expect(withAddressType(0x20000001, 1)).toBe(0x20000401);
  });

  it('carry 8-byte bodies with the most significant byte first (2.4)', () => {
    expect(hex(bytesOfBody(0x9800, 0))).toBe('00 00 00 00 00 00 98 00');
    expect(hex(bytesOfBody(0x3456708d, 0x00007f12))).toBe('00 00 7f 12 34 56 70 8d');
    // Everything: address [63:56] comes first, S and bit 0 come last.
    expect(hex(bytesOfBody(0xfffff800, 0x7fffffff))).toBe('7f ff ff ff ff ff f8 00');
    expect(bodyOfBytes(Uint8Array.of(9, 0, 0, 0x7f, 0x12, 0x34, 0x56, 0x70, 0x8d), 1)).toEqual([0x3456708d, 0x7f12]);
    expect(() => bodyOfBytes(new Uint8Array(7))).toThrow(RangeError);
  });

  it('name the pages of an invalidate request, and whether it is global', () => {
    expect(decodeInvalidate(0x9800, 0)).toEqual({ page: 8, order: 2, global: false });
    expect(decodeInvalidate(0x9801, 0)).toEqual({ page: 8, order: 2, global: true });
    expect(decodeInvalidate(0xfffff800, 0x7fffffff)).toEqual({ page: 0, order: 52, global: false });
    expect(decodeInvalidate(0x5000, 0)).toEqual({ page: 5, order: 0, global: false });
    expect(decodeInvalidate(...encodeInvalidate(0x123456789, 0))).toEqual({
      page: 0x123456789,
      order: 0,
      global: false,
    });
  });

  it('count completions of an ITag, with 0 for 8 (2.5)', () => {
    expect(decodeInvalidateCompletion(0x80000001, 0x00180001)).toEqual({
      destination: 0x18,
      completion: { kind: 'invalidate-completion', itags: 0x80000001, count: 1 },
    });
    expect(decodeInvalidateCompletion(4, 0xffff0000)).toMatchObject({ destination: 0xffff, completion: { count: 8 } });
  });

  it('answer a page request group at bits 40:32 and 47:44, to bits 63:48 (2.5)', () => {
    expect(encodePrgResponseMessage(0x1ff, 0, 0x18)).toEqual([0, 0x001801ff]);
    expect(encodePrgResponseMessage(3, 15, 0xffff)).toEqual([0, 0xfffff003]);
    expect(decodePrgResponseMessage(0x00181003, 5)).toEqual({
      destination: 0x18,
      response: { kind: 'prg-response', pasid: 5, prgi: 3, code: 1 },
    });
  });
});
