import type { CaseBuilder } from '../case-builder.js';
import { NOWHERE } from './entry-changes.js';
import type { VtdStructure } from './generate.js';

const ADDRESS = 0xffff_ffff_ffff_f000n;
const TOO_WIDE = 0xffff_0000_0000_0000n;

/** A change of one structure's words. */
type Change = (b: CaseBuilder, words: bigint[]) => void;

const notPresent: Change = (_b, words) => {
  words[0]! &= ~1n;
};
const disableFaults: Change = (_b, words) => {
  words[0]! |= 2n;
};
const nowhere: Change = (_b, words) => {
  words[0] = (words[0]! & ~ADDRESS) | NOWHERE;
};
const tooWide: Change = (b, words) => {
  words[0]! |= b.bitOf(TOO_WIDE);
};
const reserved =
  (word: number, mask: bigint): Change =>
  (b, words) => {
    words[word]! |= b.bitOf(mask);
  };
const field =
  (word: number, mask: bigint, shift: bigint, values: readonly bigint[]): Change =>
  (b, words) => {
    words[word] = (words[word]! & ~mask) | (b.pick(values) << shift);
  };
const both =
  (one: Change, other: Change): Change =>
  (b, words) => {
    one(b, words);
    other(b, words);
  };

const CHANGES: Readonly<Record<'legacy' | 'scalable', Readonly<Record<VtdStructure['kind'], readonly Change[]>>>> = {
  legacy: {
    root: [notPresent, nowhere, tooWide, reserved(0, 0xffen), reserved(1, 0xffff_ffff_ffff_ffffn)],
    context: [
      notPresent,
      disableFaults,
      both(disableFaults, notPresent),
      both(disableFaults, nowhere),
      nowhere,
      tooWide,
      reserved(0, 0xff0n),
      reserved(1, 0xffff_ffff_ff00_0080n),
      field(0, 0xcn, 2n, [1n, 2n, 3n]),
      field(1, 7n, 0n, [0n, 1n, 2n, 3n, 4n, 6n]),
      field(1, 0x78n, 3n, [5n, 15n]),
      (_b, words) => {
        words[1]! ^= 0x1000n;
      },
    ],
    directory: [],
    pasid: [],
  },
  scalable: {
    root: [notPresent, nowhere, tooWide, reserved(0, 0xffen), reserved(1, 0xffff_ffff_ffff_ffffn)],
    context: [
      notPresent,
      disableFaults,
      both(disableFaults, notPresent),
      both(disableFaults, nowhere),
      nowhere,
      tooWide,
      reserved(0, 0x1e0n),
      reserved(1, 0xffff_ffff_ffe0_0000n),
      reserved(2, 0xffff_ffff_ffff_ffffn),
      field(0, 0xe00n, 9n, [1n, 2n, 7n]),
    ],
    directory: [notPresent, disableFaults, both(disableFaults, notPresent), nowhere, tooWide, reserved(0, 0xffcn)],
    pasid: [
      notPresent,
      disableFaults,
      both(disableFaults, notPresent),
      (_b, words) => words.fill(0n),
      (_b, words) => {
        words.fill(0n);
        words[0] = 2n;
      },
      field(0, 0x1cn, 2n, [0n, 1n, 2n, 3n, 4n]),
      field(0, 0x1c0n, 6n, [0n, 1n, 2n, 3n, 4n, 5n, 7n]),
      reserved(0, 0xc00n),
      reserved(1, 0x7f_0000n),
      reserved(2, 0xf00n),
      reserved(3, 0xffff_ffff_ffff_ffffn),
      field(2, 0xcn, 2n, [1n, 2n]),
      (_b, words) => {
        const word = words[2] === 0n ? 0 : 2;
        words[word] = (words[word]! & 0xfffn) | NOWHERE;
      },
      (b, words) => {
        words[words[2] === 0n ? 0 : 2]! |= b.bitOf(TOO_WIDE);
      },
      (_b, words) => {
        words[1]! ^= 0x10n;
      },
    ],
  },
};

const WORDS = { root: 2, context: 4, directory: 1, pasid: 8 } as const;

/** Other words for a structure of the configuration. */
export function changedConfiguration(b: CaseBuilder, scalable: boolean, { kind, address }: VtdStructure): bigint[] {
  const count = kind === 'context' && !scalable ? 2 : WORDS[kind];
  const words = Array.from({ length: count }, (_, i) => b.load(address + i * 8));
  b.pick(CHANGES[scalable ? 'scalable' : 'legacy'][kind])(b, words);
  return words.map((word) => BigInt.asUintN(64, word));
}
