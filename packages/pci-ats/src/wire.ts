import { bit, bits, named, reserved, table } from '@iommukit/bitfield';

/** How a message finds its receiver: bits 2:0 of the message's type. */
export const ROUTING = { TO_ROOT_COMPLEX: 0b000, BY_ID: 0b010 } as const;

/** The messages of ATS and PRI (pcie-ats.md 2.5): code, routing, and whether the 8 bytes are data (MsgD) or in the header. */
export const MESSAGE = {
  INVALIDATE_REQUEST: { code: 0x01, routing: ROUTING.BY_ID, data: true },
  INVALIDATE_COMPLETION: { code: 0x02, routing: ROUTING.BY_ID, data: false },
  PAGE_REQUEST: { code: 0x04, routing: ROUTING.TO_ROOT_COMPLEX, data: false },
  PRG_RESPONSE: { code: 0x05, routing: ROUTING.BY_ID, data: false },
} as const;

/** The end-to-end prefix in front of a TLP with a PASID (pcie-ats.md 2.2). */
export const PasidPrefix = table(
  'PASID TLP prefix',
  4,
  { ref: 'pcie-ats.md 2.2' },
  {
    pasid: bits(19, 0),
    exec: named('Execute Requested', bit(20)),
    priv: named('Privileged Mode Requested', bit(21)),
    res: reserved(23, 22),
    type: named('Type', bits(31, 24, '0x91: an end-to-end prefix with a PASID')),
  },
);

/** The first byte of a PASID prefix. */
const PASID_PREFIX = 0x91;

/** A PASID and the wishes that travel with it. */
export interface PasidTag {
  /** 0 to 2^20 - 1. */
  readonly pasid: number;
  readonly exec: boolean;
  readonly priv: boolean;
}

/** The prefix of a PASID as a 32-bit word. */
export function encodePasidPrefix({ pasid, exec, priv }: PasidTag): number {
  return PasidPrefix.make({ type: PASID_PREFIX, pasid, exec: exec ? 1 : 0, priv: priv ? 1 : 0 })[0];
}

/** What a prefix says, or null for one that is no PASID prefix. */
export function decodePasidPrefix(word: number): PasidTag | null {
  const { type, pasid, exec, priv } = PasidPrefix.f;
  if (type.of(word) !== PASID_PREFIX) return null;
  return { pasid: pasid.of(word), exec: exec.of(word) === 1, priv: priv.of(word) === 1 };
}

/** The AT field of a memory request: bits 11:10 of its first header word (pcie-ats.md 2.1). 3 is reserved. */
export function addressTypeOf(header: number): number {
  return (header >>> 10) & 3;
}

/** The first header word with its AT field set. */
export function withAddressType(header: number, at: number): number {
  return ((header & ~0xc00) | ((at & 3) << 10)) >>> 0;
}

/** An 8-byte body as it travels: the most significant byte first (pcie-ats.md 2.4). */
export function bytesOfBody(lo: number, hi: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, hi);
  view.setUint32(4, lo);
  return bytes;
}

/** An 8-byte body from byte `at` on, as [lo, hi]. @throws RangeError where there are no 8 bytes */
export function bodyOfBytes(bytes: Uint8Array, at = 0): [lo: number, hi: number] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return [view.getUint32(at + 4), view.getUint32(at)];
}
