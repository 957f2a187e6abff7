import { EVENTQ_BASE } from '@iommukit/smmuv3-spec';
import type { Answers, CompareCase } from '../case-format.js';

const BASE = 0xf_ffff_ffff_ffe0n;
const { log2size } = EVENTQ_BASE.f;

/** Where a case has its event queue, and how many records it holds. */
export function eventQueueOf(what: CompareCase): { readonly base: number; readonly entries: number } | null {
  const step = what.steps.find((one) => one.do === 'write' && one.register === 'EVENTQ_BASE');
  if (step?.do !== 'write') return null;
  return { base: Number(step.value & BASE), entries: 2 ** log2size.of(Number(step.value & 0xffff_ffffn), 0) };
}

/** Names of a record's words in an observation. */
const WORDS = ['EVENT_0', 'EVENT_1', 'EVENT_2', 'EVENT_3'] as const;

/** Answers whose records are part of the observation of the step that left them, and no longer of memory. */
export function withEvents(what: CompareCase, answers: Answers): Answers {
  const queue = eventQueueOf(what);
  if (queue === null) return answers;
  const memory = new Map(answers.memory);
  let before = 0n;
  const steps = answers.steps.map((seen) => {
    const after = seen['EVENTQ_PROD'];
    if (typeof after !== 'bigint') return seen;
    const count = Number(BigInt.asUintN(20, after - before)) % (queue.entries * 2);
    before = after;
    if (count !== 1) return seen;
    const at = queue.base + ((Number(after & 0xf_ffffn) - 1 + queue.entries) % queue.entries) * WORDS.length * 8;
    const words = WORDS.map((name, i) => [name, memory.get(at + i * 8) ?? 0n] as const);
    WORDS.forEach((_name, i) => {
      memory.delete(at + i * 8);
    });
    return { ...seen, ...Object.fromEntries(words) };
  });
  return { ...answers, steps, memory };
}

/** The words of the record that step `index` left; null if it left none. */
export function eventOf(answers: Answers, index: number): readonly bigint[] | null {
  const seen = answers.steps[index];
  if (seen?.['EVENT_0'] === undefined) return null;
  return WORDS.map((name) => seen[name] as bigint);
}

/** The number of a record; null without one. */
export const eventId = (event: readonly bigint[] | null): number | null =>
  event === null ? null : Number(event[0]! & 0xffn);
