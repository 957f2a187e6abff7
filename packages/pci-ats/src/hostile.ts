import type { Upstream } from './tlp.js';

/** A number from 0 to `below` - 1: where a fuzz test's randomness comes from. */
export type Draw = (below: number) => number;

/** What hostile messages are about: values that mean something, so that not everything is refused at the door. */
export interface HostileKnowledge {
  /** PASIDs that are in use or were; others are drawn too. */
  readonly pasids?: readonly number[];
  /** Pages (address / 4096) that are mapped or were, and frames. */
  readonly pages?: readonly number[];
}

const KINDS = [
  'write',
  'read',
  'translation-request',
  'page-request',
  'invalidate-completion',
  'interrupt',
  'stop-marker',
] as const;

/** Sizes and offsets around what a page and a message can hold, and beyond. */
const SIZES = [0, 1, 4, 8, 63, 4088, 4096, 4097, 8192];
const OFFSETS = [0, 8, 1, 4088, 4095, 4096, -8, 0.5];
const COUNTS = [1, 2, 8, 512, 0, -1, 513, 1.5];

/**
 * Any message that something on a link may send, whether or not a device should: addresses that are said to be translated,
 * PASIDs out of range, sizes beyond the page, completions of invalidations that nobody asked for.
 */
export function hostileUpstream(draw: Draw, knowledge: HostileKnowledge = {}): Upstream {
  const kind = KINDS[draw(KINDS.length)];
  const pasid = pasidOf(draw, knowledge);
  const page = pageOf(draw, knowledge);
  const offset = OFFSETS[draw(OFFSETS.length)];
  const tag = draw(64);
  const address = { at: draw(4), pasid, page, offset, witness: 0 };
  switch (kind) {
    case 'write': {
      const data = new Uint8Array(SIZES[draw(SIZES.length)]).fill(draw(256));
      return draw(2) === 0 ? { kind, ...address, data } : { kind, ...address, data, tag };
    }
    case 'read':
      return { kind, ...address, tag, bytes: SIZES[draw(SIZES.length)] };
    case 'translation-request': {
      const [noWrite, exec, priv] = [draw(2) === 1, draw(2) === 1, draw(2) === 1];
      return { kind, tag, pasid, page, count: COUNTS[draw(COUNTS.length)], noWrite, exec, priv };
    }
    case 'page-request':
      return { kind, pasid, prgi: draw(514), page, perm: draw(16), last: draw(2) === 1 };
    case 'stop-marker':
      return { kind: 'page-request', pasid, prgi: draw(2) * draw(512), page, perm: 0, last: true };
    case 'invalidate-completion':
      return { kind, itags: draw(2) === 0 ? 2 ** draw(32) : draw(2 ** 32), count: draw(9) };
    case 'interrupt':
      return { kind };
  }
}

/** Known ones mostly; none; and those at the edges of 20 bits. */
function pasidOf(draw: Draw, { pasids = [] }: HostileKnowledge): number {
  if (pasids.length > 0 && draw(2) === 0) return pasids[draw(pasids.length)];
  return [-1, 0, 1, 2 ** 20 - 1, 2 ** 20, draw(2 ** 20)][draw(6)];
}

/** Known ones mostly; and those at the edges of what translation tables and buses reach. */
function pageOf(draw: Draw, { pages = [] }: HostileKnowledge): number {
  if (pages.length > 0 && draw(2) === 0) return pages[draw(pages.length)];
  return [0, 1, 2 ** 36 - 1, 2 ** 36, 2 ** 40, 2 ** 52 - 1, draw(2 ** 32)][draw(7)];
}
