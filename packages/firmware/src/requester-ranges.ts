/** Requester IDs [first, end) that one unit translates. */
export interface RequesterRange {
  readonly first: number;
  readonly end: number;
}

/** Requester IDs of a PCI segment. */
export const REQUESTER_IDS = 2 ** 16;

/** The same ids as ascending ranges that do not touch. */
export function mergedRanges(ranges: readonly RequesterRange[]): RequesterRange[] {
  const merged: { first: number; end: number }[] = [];
  for (const { first, end } of [...ranges].sort((a, b) => a.first - b.first)) {
    const last = merged.at(-1);
    if (last === undefined || first > last.end) merged.push({ first, end });
    else last.end = Math.max(last.end, end);
  }
  return merged;
}

/** Every id of a segment that is in none of these ranges. */
export function otherRanges(ranges: readonly RequesterRange[]): RequesterRange[] {
  const others: RequesterRange[] = [];
  let next = 0;
  for (const { first, end } of mergedRanges(ranges)) {
    if (first > next) others.push({ first: next, end: first });
    next = end;
  }
  if (next < REQUESTER_IDS) others.push({ first: next, end: REQUESTER_IDS });
  return others;
}
