import { describe, expect, it } from 'vitest';
import { hostileUpstream, type Upstream } from './index.js';

/** A small generator with a fixed seed. */
function drawer(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('hostileUpstream', () => {
  it('draws every kind of message, and both good and bad values', () => {
    const draw = drawer(1);
    const all: Upstream[] = Array.from({ length: 5000 }, () => hostileUpstream(draw, { pasids: [5], pages: [0x123] }));
    const kinds = new Set(all.map((tlp) => tlp.kind));
    expect([...kinds].sort()).toEqual([
      'interrupt',
      'invalidate-completion',
      'page-request',
      'read',
      'translation-request',
      'write',
    ]);
    const some = (test: (tlp: Upstream) => boolean): boolean => all.some(test);
    expect(some((tlp) => tlp.kind === 'write' && tlp.at === 2 && tlp.page === 0x123)).toBe(true);
    expect(some((tlp) => tlp.kind === 'write' && tlp.tag !== undefined)).toBe(true);
    expect(some((tlp) => tlp.kind === 'read' && tlp.offset + tlp.bytes > 4096)).toBe(true);
    expect(some((tlp) => 'pasid' in tlp && tlp.pasid === 5)).toBe(true);
    expect(some((tlp) => 'pasid' in tlp && tlp.pasid >= 2 ** 20)).toBe(true);
    expect(some((tlp) => tlp.kind === 'page-request' && tlp.last && tlp.perm === 0)).toBe(true);
  });

  it('draws the same messages from the same numbers', () => {
    const draws = [drawer(7), drawer(7)];
    for (let i = 0; i < 200; i++) expect(hostileUpstream(draws[0])).toEqual(hostileUpstream(draws[1]));
  });
});
