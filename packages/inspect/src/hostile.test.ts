import { isIommuError, Rng } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { highRam, imageOf, legacyVtd, type Made, open, scalableSecondStage, stage2Smmu } from '../test/machines.js';
import { bytesSource, type InspectedUnit, isInspectError, parseRegisters, parseRequest, readElfCore } from './index.js';

const small = { iotlbEntries: 4, walkEntries: 4 };
const machines: readonly Made[] = [legacyVtd(3), legacyVtd(4), scalableSecondStage(), highRam(), stage2Smmu()].map(
  (made) => ({ ...made, extra: { ...made.extra, ...small } }),
);

/** What may be thrown: an error that says what is wrong. Anything else fails the test. */
function clear(error: unknown): void {
  if (isInspectError(error) || isIommuError(error)) return;
  throw error;
}

/** Every entry on the way of one request, of both kinds of table and the event queue, is in fewer pages. */
const MOST_READS = 24;

/** Asks for a few addresses; each answer is whole, and each costs little. */
function ask(unit: InspectedUnit, { requester, mappings }: Made, rng: Rng, reads: { count: number }): void {
  for (let n = 0; n < 4; n++) {
    const { iova } = mappings[rng.below(mappings.length)];
    const odd = rng.below(4) === 0 ? BigInt(rng.next()) << BigInt(rng.below(32)) : 0n;
    reads.count = 0;
    try {
      const { ok, pa, fault } = unit.access(requester, -1, iova ^ odd, rng.below(2) === 0 ? 'read' : 'write');
      expect(ok).toBe(pa !== null);
      expect(ok && fault !== null).toBe(false);
      if (pa !== null) expect(pa >= 0n && pa < 2n ** 52n).toBe(true);
      if (fault !== null) expect(fault.name).toMatch(/^[A-Z0-9_]+$/);
    } catch (error) {
      clear(error);
    }
    expect(reads.count).toBeLessThanOrEqual(MOST_READS);
  }
}

/** A source that counts what is read of it. */
function counted(image: Uint8Array) {
  const reads = { count: 0 };
  const source = bytesSource(image, 'hostile.elf');
  const read = (offset: number, into: Uint8Array): void => {
    reads.count++;
    source.read(offset, into);
  };
  return { reads, source: { ...source, read } };
}

const WORDS = [
  0n,
  1n,
  2n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  2n ** 51n,
  2n ** 52n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** Damages 64-bit words or single bytes of the first `used` bytes. */
function damage(bytes: Uint8Array, used: number, rng: Rng): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let times = 1 + rng.below(3); times > 0; times--) {
    const at = rng.below(used - 8);
    const kind = rng.below(4);
    if (kind === 0) bytes[at] ^= 1 << rng.below(8);
    else if (kind === 1) bytes[at] = rng.below(256);
    else view.setBigUint64(kind === 2 ? at : at & ~7, WORDS[rng.below(WORDS.length)], true);
  }
}

describe('hostile input', () => {
  it('ends in an answer or a clear error: 3,500 images with damaged headers', () => {
    const rng = new Rng(1);
    const headers = 64 + 64 + 3 * 56;
    const images = machines.map((made) => imageOf(made));
    const good = images.map((image) => image.slice(0, headers));
    for (let n = 0; n < 3500; n++) {
      const made = machines[n % machines.length];
      const image = images[n % machines.length];
      image.set(good[n % machines.length]);
      damage(image, headers, rng);
      const cut = rng.below(4) === 0 ? image.subarray(0, rng.below(image.length)) : image;
      const { reads, source } = counted(cut);
      try {
        const unit = open(made, source);
        expect(unit.bus.memory.image.ranges.length).toBeLessThanOrEqual(5);
        ask(unit, made, rng, reads);
      } catch (error) {
        clear(error);
      }
    }
  });

  it('ends in an answer or a clear error: 4,000 machines with damaged tables, cycles among them', () => {
    const rng = new Rng(2);
    const units = machines.map((made) => ({ made, image: imageOf(made) }));
    for (let n = 0; n < 4000; n++) {
      const { made, image } = units[n % units.length];
      const ram = made.rams[made.rams.length - 1];
      const { reads, source } = counted(image);
      const unit = open(made, source);
      const used = (ram.next - ram.base) / 8;
      for (let times = 1 + rng.below(6); times > 0; times--) {
        const pa = ram.base + rng.below(used) * 8;
        const old = ram.load(pa);
        if (old === 0n && rng.below(8) !== 0) times++;
        const pointer = BigInt(ram.base + rng.below(used / 512) * 4096) | (old & 0xfffn);
        const kind = rng.below(4);
        const word =
          kind === 0
            ? pointer
            : kind === 1
              ? old ^ (1n << BigInt(rng.below(64)))
              : kind === 2
                ? old | (BigInt(rng.next()) << 32n)
                : WORDS[rng.below(WORDS.length)];
        if (old === 0n && times > 1) continue;
        unit.bus.store64(pa, Number(word & 0xffff_ffffn), Number((word >> 32n) & 0xffff_ffffn));
      }
      ask(unit, made, rng, reads);
    }
  });

  it('ends in an answer or a clear error: tables that lead to themselves at every level', () => {
    for (const made of machines) {
      const unit = open(made);
      const ram = made.rams[made.rams.length - 1];
      for (let table = ram.base; table < ram.next; table += 4096) {
        for (let entry = 0; entry < 512; entry++) {
          const at = table + entry * 8;
          const old = ram.load(at);
          if (old === 0n) continue;
          const self = (old & 0xfffn) | BigInt(table);
          unit.bus.store64(at, Number(self & 0xffff_ffffn), Number(self >> 32n));
        }
      }
      ask(unit, made, new Rng(3), { count: 0 });
    }
  });

  it('ends in an answer or a clear error: 2,500 damaged register files', () => {
    const rng = new Rng(4);
    const odd = '0123456789abcdefxX: \n\t{}[]",#-.\0é';
    const images = machines.map((made) => imageOf(made));
    for (let n = 0; n < 2500; n++) {
      const made = machines[n % machines.length];
      let text = made.registers;
      for (let times = 1 + rng.below(4); times > 0; times--) {
        // What stands at the beginning counts: identification and control.
        const at = rng.below(rng.below(2) === 0 ? 400 : text.length);
        const cut = rng.below(3);
        text = text.slice(0, at) + odd[rng.below(odd.length)].repeat(rng.below(3)) + text.slice(at + cut);
      }
      const { reads, source } = counted(images[n % machines.length]);
      try {
        ask(open(made, source, text), made, rng, reads);
      } catch (error) {
        clear(error);
      }
    }
  });

  it('ends in a request or a clear error: 4,000 damaged request lines, and 1,000 damaged JSON files', () => {
    const rng = new Rng(5);
    const damaged = (text: string): string => {
      const at = rng.below(text.length);
      const wild = String.fromCharCode(rng.below(256)).repeat(rng.below(3));
      return text.slice(0, at) + wild + text.slice(at + rng.below(4));
    };
    const outcomes = new Set<string>();
    for (let n = 0; n < 4000; n++) {
      try {
        const request = parseRequest(damaged('0000:00:1f.2 0xffffc5a1 write 0x12'), `r:${n}`);
        outcomes.add(request === null ? 'none' : 'request');
        if (request !== null) expect(request.iova < 2n ** 64n && request.requester < 65_536).toBe(true);
      } catch (error) {
        clear(error);
        outcomes.add('error');
      }
    }
    for (let n = 0; n < 1000; n++) {
      try {
        parseRegisters([{ name: 'r.json', text: damaged('{"0x1000": ["0x10", 5], "0x2000": "0xc0000000"}') }]);
        outcomes.add('registers');
      } catch (error) {
        clear(error);
      }
    }
    expect([...outcomes].sort()).toEqual(['error', 'none', 'registers', 'request']);
  });

  it('is read once, however many words there are', () => {
    // Keys that stand nowhere in the text as they are: every search for one would run to its end.
    const keys = Array.from({ length: 50_000 }, (_, n) => `"\\u0030x${(n * 4).toString(16)}": 1`);
    const words = parseRegisters([{ name: 'r.json', text: `{${keys.join(',')}}` }]);
    expect(words.words.size).toBe(50_000);
  });

  it('is not read where it claims to be endless', () => {
    const made = legacyVtd(4);
    const image = imageOf(made);
    const view = new DataView(image.buffer);
    // One segment of 2^51 bytes, of which the file has few.
    const load = 64 + 64 + 56;
    view.setBigUint64(load + 40, 2n ** 51n, true);
    const memory = readElfCore(bytesSource(image));
    expect(memory.bytes).toBe(2 ** 51);
    expect(() => open(made, bytesSource(image)).access(made.requester, -1, 0x20_0000n, 'read')).not.toThrow();
  });
});
