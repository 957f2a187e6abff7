import type { Answers, Observation } from './case-format.js';

/** One field in which two performers' answers differ. */
export interface AnswerDifference {
  /** The step's index; -1 for the end. */
  readonly step: number;
  /** A register's name, `ok`, or `memory 0x…` for a word. */
  readonly field: string;
  readonly ours: bigint | boolean;
  readonly theirs: bigint | boolean;
  /** Of a word of memory: what software stored there last. */
  readonly stored?: bigint;
}

/** Every field in which `theirs` differs from `ours`, in the order of the case. */
export function differences(ours: Answers, theirs: Answers, stored: ReadonlyMap<number, bigint>): AnswerDifference[] {
  const found: AnswerDifference[] = [];
  const compare = (step: number, a: Observation, b: Observation): void => {
    for (const field of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const [mine, other] = [a[field] ?? false, b[field] ?? false];
      if (mine !== other) found.push({ step, field, ours: mine, theirs: other });
    }
  };
  ours.steps.forEach((observation, i) => {
    compare(i, observation, theirs.steps[i] ?? {});
  });
  compare(-1, ours.end, theirs.end);
  for (const address of [...new Set([...ours.memory.keys(), ...theirs.memory.keys()])].sort((a, b) => a - b)) {
    const [mine, other] = [ours.memory.get(address), theirs.memory.get(address)];
    if (mine === other) continue;
    // Absent: as software left it, which the other one's change is compared with.
    found.push({
      step: -1,
      field: `memory 0x${address.toString(16)}`,
      ours: mine ?? false,
      theirs: other ?? false,
      stored: stored.get(address) ?? 0n,
    });
  }
  return found;
}
