import type { Answers, CompareCase } from './case-format.js';
import { compareMachine } from './machine.js';
import { eventId, eventOf } from './smmuv3/events-seen.js';
import { reasonSeen } from './vtd/faults-seen.js';

/** What makes a case worth keeping: faults that hardware recorded, pages that it found its way through, errors of queues. */
export function featuresOf(what: CompareCase, answers: Answers): readonly string[] {
  const backend = compareMachine(what.machine)!.backend;
  const found = new Set<string>();
  answers.steps.forEach((seen, i) => {
    const step = what.steps[i];
    const fault = backend === 'vtd' ? reasonSeen(seen) : eventId(eventOf(answers, i));
    if (step?.do === 'dma' && fault !== null) found.add(`fault-${fault.toString(16).padStart(2, '0')}`);
    if (step?.do === 'dma' && seen['ok'] === true) {
      const page = leafAt(what, i, step.iova);
      if (page !== null) found.add(page);
    }
    if (step?.do === 'queue') {
      found.add(`queue-${step.as.replace(/\W+/g, '-').toLowerCase()}`);
    }
  });
  return [...found];
}

/** The page that is mapped at an address: its name and level. */
function leafAt(what: CompareCase, index: number, iova: bigint): string | null {
  const stores = what.steps.slice(0, index).filter((step) => step.do === 'store');
  for (const { as, what: whose } of [...what.memory, ...stores]) {
    const match = /^((?:\S+ )?level \d) of (0x[0-9a-f]+)$/.exec(whose);
    if (match !== null && !as.includes('table') && BigInt(match[2]!) >> 12n === iova >> 12n) {
      return `${as} ${match[1]!}`.replace(/\W+/g, '-').toLowerCase();
    }
  }
  return null;
}
