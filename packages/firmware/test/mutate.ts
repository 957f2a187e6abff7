/** Seeded random numbers: an integer in [0, below). */
export type Random = (below: number) => number;

/** Mulberry32: small, fast, and the same everywhere. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const WORDS = [
  0, 1, 2, 3, 4, 5, 9, 0xff, 0x100, 0x1000, 0x8003, 0x8004, 0xd00dfeed, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff,
];

/**
 * Damages the first `used` bytes of `bytes` in place, once to three times, and returns what is left of the file: bits
 * flipped, bytes set, words overwritten, pieces copied and moved, the end cut off or filled.
 */
export function mutate(bytes: Uint8Array, used: number, pick: Random): Uint8Array {
  let left = bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const aligned = (below: number) => pick(below >>> 2) << 2;
  for (let times = 1 + pick(3); times > 0; times--) {
    switch (pick(9)) {
      case 0:
        bytes[pick(used)] ^= 1 << pick(8);
        break;
      case 1:
        bytes[pick(used)] = pick(256);
        break;
      case 2:
        view.setUint32(aligned(used), WORDS[pick(WORDS.length)]);
        break;
      case 3: // a word becomes one of its neighbours in value
        {
          const at = aligned(used);
          view.setUint32(at, view.getUint32(at) + pick(9) - 4);
        }
        break;
      case 4: // a field of the header
        view.setUint32(pick(10) << 2, pick(2) === 0 ? WORDS[pick(WORDS.length)] : pick(2 * used));
        break;
      case 5: // a piece is copied over another one
        {
          const length = 4 + aligned(64);
          const from = aligned(used - length);
          bytes.copyWithin(aligned(used - length), from, from + length);
        }
        break;
      case 6: // a piece is taken out, or room is made: everything behind it moves
        {
          const at = aligned(used - 64);
          const by = 4 + aligned(32);
          if (pick(2) === 0) bytes.copyWithin(at, at + by, used);
          else bytes.copyWithin(at + by, at, used - by);
        }
        break;
      case 7: // the file is cut, and half of the time its header knows
        if (pick(4) === 0) {
          left = bytes.subarray(0, pick(used));
          if (left.length >= 8 && pick(2) === 0) view.setUint32(4, left.length);
        } else {
          bytes.fill(pick(256), aligned(used), used);
        }
        break;
      default: // a word is copied over another one
        view.setUint32(aligned(used), view.getUint32(aligned(used)));
    }
  }
  return left;
}
