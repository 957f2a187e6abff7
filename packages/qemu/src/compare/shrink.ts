import type { CaseStep, CompareCase, MemoryPiece } from './case-format.js';

/** The most cases that are tried. */
const MOST_TRIES = 2000;

/** A smaller case that `holds` is still true of: steps and memory are left out, many at a time first, as long as anything can be. */
export function shrinkCase(what: CompareCase, holds: (what: CompareCase) => boolean): CompareCase {
  let tries = 0;
  const still = (candidate: CompareCase): boolean => tries++ < MOST_TRIES && holds(candidate);
  let current = what;
  for (;;) {
    const steps = without<CaseStep>(current.steps, (left) => still({ ...current, steps: left }));
    current = { ...current, steps };
    const memory = without<MemoryPiece>(current.memory, (left) => still({ ...current, memory: left }));
    const smaller = memory.length < current.memory.length;
    current = { ...current, memory };
    if (!smaller || tries >= MOST_TRIES) return current;
  }
}

/** The list without what can be left out. */
function without<T>(list: readonly T[], holds: (left: readonly T[]) => boolean): readonly T[] {
  let current = list;
  for (let size = Math.max(1, Math.floor(list.length / 2)); ; size = Math.floor(size / 2)) {
    // From the end: what comes later depends on what comes before.
    for (let at = current.length - size; at > -size; at -= size) {
      const left = current.filter((_item, i) => i < at || i >= at + size);
      if (left.length < current.length && holds(left)) current = left;
    }
    if (size <= 1) return current;
  }
}
