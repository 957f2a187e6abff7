import { InvalidateBody, InvalidateCompletionBody, PageRequestBody, PrgResponseBody } from './bodies.js';
import { decodeRange, encodeRange, type PageRange } from './range.js';
import type { Downstream, Upstream } from './tlp.js';

/** Bits of a translation's `perm`, as everywhere: 1 read, 2 write, 4 execute, 8 privileged. */
const READ = 1;
const WRITE = 2;
const EXEC = 4;
const PRIV = 8;

/** Bits of {@link TranslationResult.attributes} and of {@link encodeTranslation}'s last argument. */
export const TRANSLATION = { UNTRANSLATED_ONLY: 4, GLOBAL: 32, NON_SNOOPED: 0x400 } as const;

/** One decoded entry of a translation completion. Reused by its owner, never kept. */
export interface TranslationResult extends PageRange {
  /** First frame (address / 4096) is {@link PageRange.page}; rights: 1 read, 2 write, 4 execute, 8 privileged (an echo). */
  perm: number;
  /** {@link TRANSLATION} bits. */
  attributes: number;
}

/**
 * Writes one entry of a translation completion at `entries[at]`, `[at + 1]` (pcie-ats.md 2.4). `frame` (address / 4096) is
 * aligned down to 2^order frames; `perm`: 1 read, 2 write, 4 execute, 8 privileged. Denied is perm 0.
 */
export function encodeTranslation(
  entries: Uint32Array,
  at: number,
  frame: number,
  order: number,
  perm: number,
  attributes = 0,
): void {
  encodeRange(entries, at, frame, order);
  // Exe is bit 3 and Priv bit 4: one place above their bits in `perm`.
  entries[at] |= (perm & (READ | WRITE)) | ((perm & (EXEC | PRIV)) << 1) | attributes;
}

/** Reads one entry of a translation completion. */
export function decodeTranslation(lo: number, hi: number, out: TranslationResult): void {
  decodeRange(lo, hi, out);
  out.perm = (lo & 3) | ((lo >>> 1) & (EXEC | PRIV));
  out.attributes = lo & (TRANSLATION.UNTRANSLATED_ONLY | TRANSLATION.GLOBAL | TRANSLATION.NON_SNOOPED);
}

/** The body of an Invalidate Request for 2^order pages from `page` as [lo, hi]; order 52 is everything. */
export function encodeInvalidate(page: number, order: number, global = false): [lo: number, hi: number] {
  const words = new Uint32Array(2);
  encodeRange(words, 0, page, order);
  InvalidateBody.f.global.set(words, global ? 1 : 0);
  return [words[0], words[1]];
}

/** What the body of an Invalidate Request says: 2^order pages from `page`, of every PASID with `global`. */
export function decodeInvalidate(lo: number, hi: number): PageRange & { global: boolean } {
  const range = { page: 0, order: 0, global: InvalidateBody.f.global.of(lo) === 1 };
  decodeRange(lo, hi, range);
  return range;
}

/** The 8-byte body of a Page Request message as [lo, hi] (pcie-ats.md 6). */
export function encodePageRequest(request: Extract<Upstream, { kind: 'page-request' }>): [lo: number, hi: number] {
  const words = PageRequestBody.make({
    r: request.perm & READ ? 1 : 0,
    w: request.perm & WRITE ? 1 : 0,
    l: request.last ? 1 : 0,
    prgi: request.prgi,
    addr: request.page * 4096,
  });
  return [words[0], words[1]];
}

/** A Page Request from its body and the PASID prefix (-1 without; `exec` and `priv` come from the prefix too). */
export function decodePageRequest(
  lo: number,
  hi: number,
  pasid: number,
  exec = false,
  priv = false,
): Extract<Upstream, { kind: 'page-request' }> {
  const { r, w, l, prgi, addr } = PageRequestBody.f;
  return {
    kind: 'page-request',
    pasid,
    prgi: prgi.of(lo, hi),
    page: addr.of(lo, hi) / 4096,
    perm: r.of(lo) | (w.of(lo) << 1) | (exec ? EXEC : 0) | (priv ? PRIV : 0),
    last: l.of(lo) === 1,
  };
}

/** The 16 bits of a PRG Response. */
export function encodePrgResponse(prgi: number, code: number): number {
  return PrgResponseBody.make({ prgi, code })[0];
}

/** A PRG Response from its 16 bits and the PASID prefix (-1 without). */
export function decodePrgResponse(word: number, pasid: number): Extract<Downstream, { kind: 'prg-response' }> {
  const { prgi, code } = PrgResponseBody.f;
  return { kind: 'prg-response', pasid, prgi: prgi.of(word), code: code.of(word) };
}

/** The 8 bytes of a PRG Response message to `destination` (a requester id) as [lo, hi]. */
export function encodePrgResponseMessage(prgi: number, code: number, destination: number): [lo: number, hi: number] {
  return [0, ((destination << 16) | encodePrgResponse(prgi, code)) >>> 0];
}

/** A PRG Response message: whom it is for, and what {@link decodePrgResponse} says of it. */
export function decodePrgResponseMessage(
  hi: number,
  pasid: number,
): { destination: number; response: Extract<Downstream, { kind: 'prg-response' }> } {
  return { destination: hi >>> 16, response: decodePrgResponse(hi & 0xffff, pasid) };
}

/** An Invalidate Completion from its 8 bytes; a count field of 0 means 8. */
export function decodeInvalidateCompletion(
  lo: number,
  hi: number,
): { destination: number; completion: Extract<Upstream, { kind: 'invalidate-completion' }> } {
  const { itags, count, destination } = InvalidateCompletionBody.f;
  const completion = { kind: 'invalidate-completion', itags: itags.of(lo, hi), count: count.of(lo, hi) || 8 } as const;
  return { destination: destination.of(lo, hi), completion };
}

/** The 8 bytes of an Invalidate Completion to `destination` (a requester id) as [lo, hi]. */
export function encodeInvalidateCompletion(
  itags: number,
  count: number,
  destination: number,
): [lo: number, hi: number] {
  const words = InvalidateCompletionBody.make({ itags: itags >>> 0, count: count % 8, destination });
  return [words[0], words[1]];
}
