import type { CompareCase } from './case-format.js';

/** The words of memory as software left them before step `index`, by address. What hardware wrote is not in it. */
export function memoryBefore(what: CompareCase, index: number): ReadonlyMap<number, bigint> {
  const memory = new Map<number, bigint>();
  const store = ({ address, words }: { readonly address: number; readonly words: readonly bigint[] }): void => {
    words.forEach((word, i) => {
      memory.set(address + i * 8, word);
    });
  };
  what.memory.forEach(store);
  for (const step of what.steps.slice(0, index)) if (step.do === 'store') store(step);
  return memory;
}
