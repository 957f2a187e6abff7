import { describe, expect, it } from 'vitest';
import { elfCore } from '../test/elf-writer.js';
import {
  highRam,
  imageOf,
  legacyVtd,
  type Made,
  open,
  PASID,
  scalableFirstStage,
  scalableSecondStage,
  stage2Smmu,
  substreamSmmu,
} from '../test/machines.js';
import { flat } from '../test/memory.js';
import { bytesSource } from './index.js';

const machines: readonly (readonly [string, Made])[] = [
  ['VT-d in legacy mode with 3 levels', legacyVtd(3)],
  ['VT-d in legacy mode with 4 levels', legacyVtd(4)],
  ['VT-d in scalable mode with a second stage', scalableSecondStage()],
  ['VT-d with RAM above 4 GiB', highRam()],
  ['SMMUv3 with stage 2 alone, a stream table of two levels', stage2Smmu()],
  ['SMMUv3 with stage 2 alone, a linear stream table', stage2Smmu(false)],
];

/** Addresses of every mapping, at its ends, and just beyond them. */
const places = ({ mappings }: Made): bigint[] =>
  mappings.flatMap(({ iova, bytes }) => [iova - 1n, iova, iova + 0x7bcn, iova + bytes - 1n, iova + bytes]);

describe.each(machines)('%s', (_name, made) => {
  it('answers every address as the list of its mappings does', () => {
    const unit = open(made);
    for (const iova of places(made)) {
      for (const access of ['read', 'write'] as const) {
        const pa = flat(made.mappings, iova, access);
        const answer = unit.access(made.requester, -1, iova, access);
        expect(answer, `${access} 0x${iova.toString(16)}`).toMatchObject({
          ok: pa !== null,
          pa,
        });
        expect(answer.fault === null).toBe(answer.ok);
      }
    }
  });

  it('tells the reasons of its specification', () => {
    const unit = open(made);
    expect(unit.access(made.requester, -1, 0x10_0000n, 'read').fault?.reason).toBe(made.absent);
    expect(unit.access(made.requester, -1, 0x2000n, 'write').fault?.reason).toBe(made.readOnly);
  });

  it('refuses a requester that the tables do not know', () => {
    const { ok, fault } = open(made).access(0x0200, -1, 0x1000n, 'read');
    expect(ok).toBe(false);
    // Root not present; half of the root not present; a zero STE, or none (C_BAD_STREAMID).
    expect([1, 0x39, 2, 4]).toContain(fault?.reason);
  });

  it('refuses a request with a PASID', () => {
    expect(open(made).access(made.requester, 5, 0x1000n, 'read').ok).toBe(false);
  });

  it('is asked without being changed', () => {
    const image = imageOf(made);
    const before = image.slice();
    const unit = open(made, bytesSource(image));
    for (const iova of places(made)) unit.access(made.requester, -1, iova, 'write');
    expect(Buffer.compare(image, before)).toBe(0);
  });
});

describe.each([
  ['VT-d in scalable mode with a process', scalableFirstStage(), { absent: 0x59, without: 0x51 }],
  ['SMMUv3 with a process', substreamSmmu(), { absent: 0x0a, without: 0x06 }],
])('%s', (_name, made, other) => {
  it('answers requests with its PASID as the list of its mappings does', () => {
    const unit = open(made);
    for (const iova of places(made)) {
      for (const access of ['read', 'write'] as const) {
        const pa = flat(made.mappings, iova, access);
        const answer = unit.access(made.requester, PASID, iova, access);
        expect(answer, `${access} 0x${iova.toString(16)}`).toMatchObject({ ok: pa !== null, pa });
        if (pa !== null) continue;
        const there = flat(made.mappings, iova, 'read') !== null;
        expect(answer.fault?.reason).toBe(there ? made.readOnly : made.absent);
      }
    }
  });

  it('refuses those with another PASID, and those without one', () => {
    const { iova } = made.mappings[0]!;
    expect(open(made).access(made.requester, PASID + 1, iova, 'read').fault?.reason).toBe(other.absent);
    expect(open(made).access(made.requester, -1, iova, 'read').fault?.reason).toBe(other.without);
  });
});

describe('an image of 32 bits, with many segments', () => {
  it('says the same', () => {
    const made = legacyVtd(3);
    const [ram] = made.rams;
    const pages = Array.from({ length: 64 }, (_, n) => ({
      base: ram!.base + n * 4096,
      bytes: ram!.bytes.slice(n * 4096, (n + 1) * 4096),
    }));
    // Backwards: nothing continues what was before.
    const image = elfCore(pages.reverse(), { bits: 32, extended: true, gap: 7 });
    const unit = open(made, bytesSource(image));
    for (const { iova, pa } of made.mappings.filter(({ read }) => read)) {
      expect(unit.access(made.requester, -1, iova, 'read').pa).toBe(pa);
    }
  });
});
