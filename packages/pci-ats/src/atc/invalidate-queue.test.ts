import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { cached } from '../../test/atc-steps.js';
import { FakeDevice, finish, OPTIONS } from '../../test/bench-top.js';
import { Atc, encodeInvalidate, PageRequestInterface, type Upstream } from '../index.js';

/** A device with a queue of this depth, in which page 1 of PASID 5 is cached and used by an access. */
function busy(depth: number, more: { classes?: number; pushesBack?: boolean } = {}): FakeDevice {
  const ats = { ...OPTIONS.ats!, queueDepth: depth };
  const device = new FakeDevice({ ats }, 8, Atc, PageRequestInterface, more);
  cached(device, [[5, 1, 0]]);
  device.atc.pin(device.atc.lookup(5, 1));
  return device;
}

function* invalidate(device: FakeDevice, itag: number, page = 1): Coroutine<void> {
  const [lo, hi] = encodeInvalidate(page, 0);
  yield* device.link.down({ kind: 'invalidate-request', itag, pasid: 5, lo, hi });
}

function* release(device: FakeDevice): Coroutine<void> {
  if (device.atc.unpin(0)) yield* device.atc.settle();
}

const completions = ({ agent }: FakeDevice): Extract<Upstream, { kind: 'invalidate-completion' }>[] =>
  agent.seen.filter((tlp) => tlp.kind === 'invalidate-completion');

describe('the invalidate queue (ATC-9)', () => {
  it.each([1, 4, 32])('takes as many requests as it is deep (%i) while all wait for an access', (depth) => {
    const device = busy(depth, { pushesBack: true });
    finish(device, function* () {
      for (let itag = 0; itag < depth; itag++) yield* invalidate(device, itag);
    });
    expect(device.atc.open.map(({ itag }) => itag)).toEqual(Array.from({ length: depth }, (_unused, i) => i));
    expect(completions(device)).toEqual([]);
  });

  it('pushes back beyond its depth, where it does, until an access is through', () => {
    const device = busy(2, { pushesBack: true });
    finish(device, function* () {
      for (let itag = 0; itag < 4; itag++) yield* invalidate(device, itag);
      yield* device.kernel.clock.sleep(1);
      expect(device.atc.open.length).toBe(2);
      expect(device.link.downPosted.messages.length).toBe(2);
      yield* release(device);
      yield* device.kernel.clock.sleep(1);
      expect(device.link.downPosted.messages.length).toBe(0);
    });
    // The first two at once; the others found nothing left to wait for.
    expect(completions(device).map(({ itags }) => itags)).toEqual([0b0011, 0b0100, 0b1000]);
  });

  it('takes all 32 otherwise, however deep it says it is', () => {
    const device = busy(2);
    finish(device, function* () {
      for (let itag = 0; itag < 32; itag++) yield* invalidate(device, itag);
      yield* device.kernel.clock.sleep(1);
      expect(device.atc.open.length).toBe(32);
      yield* release(device);
    });
    expect(completions(device)).toEqual([{ kind: 'invalidate-completion', itags: 0xffffffff, count: 1 }]);
  });

  it('completes in any order: one that no access is in the way of overtakes one that waits', () => {
    const device = busy(32);
    finish(device, function* () {
      yield* invalidate(device, 7);
      yield* invalidate(device, 3, 9);
      yield* device.kernel.clock.sleep(1);
      expect(completions(device).map(({ itags }) => itags)).toEqual([1 << 3]);
      yield* release(device);
    });
    expect(completions(device).map(({ itags }) => itags)).toEqual([1 << 3, 1 << 7]);
  });

  it('completes each of two requests with one ITag, one after the other', () => {
    const device = busy(32);
    finish(device, function* () {
      yield* invalidate(device, 7);
      yield* invalidate(device, 7);
      yield* release(device);
    });
    expect(completions(device).map(({ itags }) => itags)).toEqual([1 << 7, 1 << 7]);
  });
});

describe('completions once a traffic class (2.5)', () => {
  it.each([1, 2, 7, 8])('are %i, each with that count, for a vector of ITags', (classes) => {
    const device = busy(32, { classes });
    finish(device, function* () {
      yield* invalidate(device, 0);
      yield* invalidate(device, 31);
      yield* device.kernel.clock.sleep(1);
      yield* release(device);
    });
    const wanted = { kind: 'invalidate-completion', itags: 0x80000001, count: classes };
    expect(completions(device)).toEqual(new Array(classes).fill(wanted));
  });

  it.each([0, 9, 1.5])('are not possible for %d classes', (classes) => {
    expect(() => busy(32, { classes })).toThrow(/EINVAL/);
  });
});
