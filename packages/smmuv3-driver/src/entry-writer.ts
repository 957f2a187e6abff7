import type { Coroutine, DmaMemory, Kernel, Step } from '@iommukit/kernel';

/** Which bits of a table entry hardware looks at, given the entry's value. Entries are 16 words, 64 bits a pair. */
export interface EntryKind {
  /** Sets in `out` the bits that hardware uses in `entry` (SMMU-2, SMMU-3). */
  used(entry: Uint32Array, out: Uint32Array): void;
  /** Sets in `out` the used bits that may change at any moment between these two values (SMMU-5). */
  safe(current: Uint32Array, target: Uint32Array, out: Uint32Array): void;
}

/** One STE or CD in memory. */
export interface TableEntry {
  readonly kind: EntryKind;
  /** Physical address. */
  readonly pa: number;
  /** Makes hardware forget what it has cached of the entry, and waits until it has. */
  sync(): Coroutine<void>;
}

/** Words of an entry. */
const WORDS = 16;
/** 64-bit words of an entry. */
const QWORDS = 8;

const NONE = -1;
const SEVERAL = -2;

/** What one update works with; several may be under way, each in a task of its own. */
class Update {
  readonly current = new Uint32Array(WORDS);
  readonly step = new Uint32Array(WORDS);
  /** Bits that hardware looks at in the entry as it is and as it will be, and those that may change at any moment. */
  readonly used = new Uint32Array(WORDS);
  readonly wanted = new Uint32Array(WORDS);
  readonly safe = new Uint32Array(WORDS);
  /** Index of the only 64-bit word that hardware must see change; -1: none; -2: several. */
  critical = NONE;
}

/**
 * Changes table entries that hardware may be reading, 64 bits at a time (SMMU-1). Where only one of an entry's 64-bit
 * words has to change in what hardware sees, that happens in one store: it sees the old entry or the new one (SMMU-4).
 */
export class EntryWriter {
  readonly dma: DmaMemory;
  /** Whose observer is told of versions; null: nobody's. */
  readonly kernel: Kernel | null;
  readonly spare: Update[] = [];

  constructor(dma: DmaMemory, kernel: Kernel | null = null) {
    this.dma = dma;
    this.kernel = kernel;
  }

  /** Makes `entry` equal to `target`, and returns when no hardware uses the old value. The caller excludes other writers. */
  *write(entry: TableEntry, target: Uint32Array): Coroutine<void> {
    const update = this.spare.pop() ?? new Update();
    yield* this.load(entry, update);
    this.plan(entry.kind, update, target);
    this.nameVersions(entry, update, target);
    if (update.critical === SEVERAL) yield* this.replaceInvalid(entry, update, target);
    else if (update.critical === NONE) yield* this.storeWords(entry, update, target, 0, QWORDS);
    else yield* this.replaceHitless(entry, update, target);
    this.spare.push(update);
  }

  /** INV-14: hardware sees the old entry, the new one or none, whichever way it is changed. */
  nameVersions({ pa, kind }: TableEntry, { current, used, wanted, safe }: Update, target: Uint32Array): void {
    if (this.kernel === null) return;
    const fixed = (bits: Uint32Array): Uint32Array => bits.map((word, i) => word & ~safe[i]!);
    const [invalid, valid] = [new Uint32Array(WORDS), new Uint32Array(WORDS)];
    kind.used(invalid, valid);
    this.kernel.observer.versions(pa, [target, current, invalid], [fixed(wanted), fixed(used), valid]);
  }

  /** One 64-bit word changes while the others stay as they are, or are not looked at. */
  *replaceHitless(entry: TableEntry, update: Update, target: Uint32Array): Coroutine<void> {
    yield* this.storeAround(entry, update);
    yield* this.storeCritical(entry, update, target);
    yield* this.storeRest(entry, update, target);
  }

  /** Stores everything that hardware does not look at yet, which is all but the critical word. */
  storeAround(entry: TableEntry, update: Update): Coroutine<void> {
    const { step, current, critical } = update;
    step[2 * critical] = current[2 * critical]!;
    step[2 * critical + 1] = current[2 * critical + 1]!;
    return this.storeWords(entry, update, step, 0, QWORDS);
  }

  /** In one store hardware sees the new entry, whole (TLB-4). */
  storeCritical(entry: TableEntry, update: Update, target: Uint32Array): Coroutine<void> {
    return this.storeWords(entry, update, target, update.critical, update.critical + 1);
  }

  /** What hardware looked at in the old entry only: not before nobody uses that any more. */
  storeRest(entry: TableEntry, update: Update, target: Uint32Array): Coroutine<void> {
    return this.storeWords(entry, update, target, 0, QWORDS);
  }

  /** The entry is invalid while it changes: V goes first and comes last. */
  *replaceInvalid(entry: TableEntry, update: Update, target: Uint32Array): Coroutine<void> {
    update.step.fill(0);
    yield* this.storeWords(entry, update, update.step, 0, 1);
    yield* this.storeWords(entry, update, target, 1, QWORDS);
    yield* this.storeWords(entry, update, target, 0, 1);
  }

  /** Stores the 64-bit words [from, to) that differ, and syncs if there was one. */
  *storeWords(entry: TableEntry, update: Update, value: Uint32Array, from: number, to: number): Coroutine<void> {
    const { current } = update;
    let changed = false;
    for (let i = 2 * from; i < 2 * to; i += 2) {
      const [lo, hi] = [value[i]!, value[i + 1]!];
      if (current[i] === lo && current[i + 1] === hi) continue;
      yield* this.dma.store64(entry.pa + 4 * i, lo, hi);
      current[i] = lo;
      current[i + 1] = hi;
      changed = true;
    }
    if (changed) yield* this.sync(entry);
  }

  /** SMMU-1: nobody uses what the entry said before, when this returns. */
  sync(entry: TableEntry): Coroutine<void> {
    return entry.sync();
  }

  /** The entry as it stands. */
  load(entry: TableEntry, update: Update): Step<void> {
    return this.dma.loadWords(entry.pa, update.current);
  }

  /** Finds out how many 64-bit words hardware has to see change. */
  plan(kind: EntryKind, update: Update, target: Uint32Array): void {
    const { current, step, used, wanted, safe } = update;
    used.fill(0);
    wanted.fill(0);
    safe.fill(0);
    kind.used(current, used);
    kind.used(target, wanted);
    kind.safe(current, target, safe);
    let critical = NONE;
    for (let i = 0; i < WORDS; i++) {
      const kept = used[i]! & ~(safe[i]! & wanted[i]!);
      step[i] = (current[i]! & kept) | (target[i]! & ~kept);
      if ((step[i]! & wanted[i]!) >>> 0 === target[i]!) continue;
      const word = i >> 1;
      critical = critical === NONE || critical === word ? word : SEVERAL;
    }
    update.critical = critical;
  }
}
