import { EVENTQ_BASE } from '@iommukit/smmuv3-spec';
import type { Answers, CompareCase } from '../case-format.js';

const EVENT_WORDS = 4;
const BASE = 0xf_ffff_ffff_ffe0n;
const { log2size } = EVENTQ_BASE.f;

/** Where a case has its event queue, and how many records it holds. */
export function eventQueueOf(what: CompareCase): { readonly base: number; readonly entries: number } | null {
  const step = what.steps.find((one) => one.do === 'write' && one.register === 'EVENTQ_BASE');
  if (step?.do !== 'write') return null;
  return { base: Number(step.value & BASE), entries: 2 ** log2size.of(Number(step.value & 0xffff_ffffn), 0) };
}

/** The words of the record that step `index` left; null if it left none. */
export function eventOf(what: CompareCase, answers: Answers, index: number): readonly bigint[] | null {
  const queue = eventQueueOf(what);
  const after = answers.steps[index]?.['EVENTQ_PROD'];
  if (queue === null || typeof after !== 'bigint') return null;
  let before = 0n;
  for (const seen of answers.steps.slice(0, index)) {
    const value = seen['EVENTQ_PROD'];
    if (typeof value === 'bigint') before = value;
  }
  if (before === after) return null;
  const at = queue.base + ((Number(after & 0xf_ffffn) - 1 + queue.entries) % queue.entries) * EVENT_WORDS * 8;
  return Array.from({ length: EVENT_WORDS }, (_, i) => answers.memory.get(at + i * 8) ?? 0n);
}

/** The number of a record; null without one. */
export const eventId = (event: readonly bigint[] | null): number | null =>
  event === null ? null : Number(event[0]! & 0xffn);
