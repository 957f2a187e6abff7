import { X86Page } from '@iommukit/paging';
import { GERROR } from '@iommukit/smmuv3-spec';
import { FSTS } from '@iommukit/vtd-spec';
import type { Answers, CaseStep, CompareCase } from './case-format.js';
import { memoryBefore } from './case-memory.js';
import { bitsOf } from './field-bits.js';
import { layoutNamed } from './layouts.js';
import { type CompareMachine, compareMachine } from './machine.js';
import { eventId, eventOf } from './smmuv3/events-seen.js';
import { reasonSeen } from './vtd/faults-seen.js';

type Store = Extract<CaseStep, { do: 'store' }>;
type Queue = Extract<CaseStep, { do: 'queue' }>;

/** What lies between two accesses of one device to one page. */
interface Since {
  readonly ok: boolean;
  readonly stores: Store[];
  readonly queued: Queue[];
}

/**
 * What makes a case worth keeping: faults that hardware recorded, pages that it found its way through, flags that it set, entries of
 * queues; fields whose change ends in a fault, and invalidations that make a change count.
 */
export function featuresOf(what: CompareCase, answers: Answers): readonly string[] {
  const machine = compareMachine(what.machine)!;
  const found = new Set<string>(flagsSet(what, answers));
  const memory = new Map<number, bigint>();
  const put = ({ address, words }: { readonly address: number; readonly words: readonly bigint[] }): void => {
    words.forEach((word, i) => {
      memory.set(address + i * 8, word);
    });
  };
  const seenOf = new Map<string, Since>();
  const changes = new Map<Store, string>();
  what.memory.forEach(put);
  what.steps.forEach((step, i) => {
    if (step.do === 'store') {
      changes.set(step, changeOf(machine, step, memory));
      put(step);
      for (const since of seenOf.values()) since.stores.push(step);
    } else if (step.do === 'queue') {
      if (wasTaken(answers, i)) found.add(`queue-${queueName(step)}`);
      for (const since of seenOf.values()) since.queued.push(step);
    } else if (step.do === 'dma') {
      const fault = faultOf(machine, answers, i);
      const ok = answers.steps[i]!['ok'] === true;
      if (fault !== null) found.add(`fault-${fault}${step.access === 'read' ? '-read' : ''}`);
      const page = ok ? leafAt(what, i, step.iova) : null;
      if (page !== null) found.add(`page-${page}`);
      if (step.device !== 'testdev') return;
      const key = String(step.iova >> 12n);
      const before = seenOf.get(key);
      if (before?.ok === true) {
        for (const one of changesSeen(before, ok, fault, changes)) found.add(one);
      }
      seenOf.set(key, { ok, stores: [], queued: [] });
    }
  });
  return [...found];
}

/** What one change between two accesses comes to. Several changes at once tell nothing. */
function changesSeen(
  { stores, queued }: Since,
  ok: boolean,
  fault: string | null,
  changes: ReadonlyMap<Store, string>,
): readonly string[] {
  if (stores.length !== 1) return [];
  const change = changes.get(stores[0]!)!;
  if (ok)
    return queued.length === 0 && /^(page|block|second-stage-page)\S*-\S*addr/.test(change) ? [`stale-${change}`] : [];
  const found = [`change-${change}-${fault ?? 'silent'}`];
  if (queued.length === 1) found.push(`fresh-${queueName(queued[0]!)}`);
  return found;
}

function faultOf({ backend }: CompareMachine, answers: Answers, index: number): string | null {
  const fault = backend === 'vtd' ? reasonSeen(answers.steps[index]) : eventId(eventOf(answers, index));
  return fault === null ? null : fault.toString(16).padStart(2, '0');
}

const named = (text: string): string => text.replace(/\W+/g, '-').replace(/_/g, '-').toLowerCase();

/** A structure, and its fields that a store changes. */
function changeOf(
  { backend }: CompareMachine,
  { as, address, words }: Store,
  before: ReadonlyMap<number, bigint>,
): string {
  const layout = layoutNamed(backend, as);
  if (layout === null || layout.bytes !== words.length * 8) return named(as);
  const halves = (list: readonly bigint[]): Uint32Array =>
    Uint32Array.from(list.flatMap((word) => [Number(word & 0xffff_ffffn), Number(word >> 32n)]));
  const old = words.map((_word, i) => before.get(address + i * 8) ?? 0n);
  const fields = layout.diff(halves(old), halves(words)).map(({ field }) => field);
  return named(`${as}-${fields.length > 3 ? 'much' : fields.join('-')}`);
}

/** The name of a descriptor or command, with its granularity: bits 5:4 of VT-d's, ranges of SMMUv3's. */
function queueName({ as, words }: Queue): string {
  const [first, second] = [words[0] ?? 0n, words[1] ?? 0n];
  if (as.startsWith('CMD_TLBI_NH_VA')) {
    const range = (second >> 10n) % 4n !== 0n ? '-range' : '';
    return named(`${as}${range}${(second & 1n) === 1n ? '-leaf' : ''}`);
  }
  return named(as.startsWith('CMD') || as.startsWith('opcode') ? as : `${as}-${(first >> 4n) & 3n}`);
}

/** Hardware consumed an entry of the queue, or refused one. */
function wasTaken({ steps }: Answers, index: number): boolean {
  const seen = steps[index]!;
  const set = (value: bigint | boolean | undefined, mask: bigint): boolean => ((value as bigint) & mask) !== 0n;
  if (seen['IQH'] !== undefined) return set(seen['IQH'], ~0n) || set(seen['FSTS'], IQE);
  return seen['CMDQ_CONS'] !== undefined && (set(seen['CMDQ_CONS'], ~0n) || set(seen['GERROR'], CMDQ_ERR));
}

/** FSTS.IQE and GERROR.CMDQ_ERR. */
const IQE = bitsOf(FSTS.f.iqe);
const CMDQ_ERR = bitsOf(GERROR.f.cmdqErr);

/** Accessed and Dirty, wherever hardware set nothing else. */
const FLAGS = bitsOf(X86Page.f.a) | bitsOf(X86Page.f.d);

/** Flags that hardware has set in entries of tables. */
function flagsSet(what: CompareCase, { memory }: Answers): readonly string[] {
  const stored = memoryBefore(what, what.steps.length);
  const found: string[] = [];
  for (const { address, as, what: whose } of what.memory) {
    const [now, before] = [memory.get(address), stored.get(address) ?? 0n];
    if (now === undefined || !whose.includes('level') || ((now ^ before) & ~FLAGS) !== 0n) continue;
    found.push(`flags-${named(as)}-${(now ^ before).toString(16)}`);
  }
  return found;
}

/** The page that is mapped at an address: its name and level. */
function leafAt(what: CompareCase, index: number, iova: bigint): string | null {
  const stores = what.steps.slice(0, index).filter((step) => step.do === 'store');
  for (const { as, what: whose } of [...what.memory, ...stores]) {
    const match = /^((?:\S+ )?level \d) of (0x[0-9a-f]+)$/.exec(whose);
    if (match !== null && !as.includes('table') && BigInt(match[2]!) >> 12n === iova >> 12n) {
      return named(`${as} ${match[1]!}`);
    }
  }
  return null;
}
