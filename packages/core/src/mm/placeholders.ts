/**
 * What an entry that is not present says about its page. Bit 0 of every format's entry is "valid"; hardware ignores the
 * rest of an entry in which it is clear.
 */
export const PLACEHOLDER = {
  NONE: 0,
  /** The page is in a swap slot. */
  SWAP: 1,
  /** The page is being moved: who wants it waits. */
  MOVING: 2,
} as const;

/** One of {@link PLACEHOLDER}. */
export type PlaceholderKind = 0 | 1 | 2;

/** What stands in an entry in place of its page: `number` is a swap slot's, or a move's. */
export function encodePlaceholder(kind: PlaceholderKind, number: number, out: Uint32Array): void {
  out[0] = kind << 1;
  out[1] = number;
}

/** What an entry that is not present stands for. */
export function placeholderOf(entry: Uint32Array): PlaceholderKind {
  return (entry[0]! >>> 1) as PlaceholderKind;
}

/** The number of a placeholder. */
export function placeholderNumber(entry: Uint32Array): number {
  return entry[1]!;
}
