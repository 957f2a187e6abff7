import type { CaseStep, CompareCase, Observation } from './case-format.js';
import type { CompareMachine, QueueShape } from './machine.js';

/** What a performer can do with a machine. Nothing is read before {@link Hands.flush}. */
export interface Hands {
  write(address: number, bytes: 4 | 8, value: bigint): void;
  store(address: number, words: readonly bigint[]): void;
  dma(step: Extract<CaseStep, { do: 'dma' }>): void;
  /** Asks for a register; its value comes with the observations. */
  look(name: string, address: number, bytes: 4 | 8): void;
  /** What was asked for since the last call is one observation. */
  mark(): void;
}

/** Performs a case's steps in order, looking where its machine says; one {@link Hands.mark} a step, and one for the end. */
export function performSteps(what: CompareCase, machine: CompareMachine, hands: Hands): void {
  let shape: QueueShape | null = null;
  let queued = 0;
  const look = (names: readonly string[]): void => {
    for (const name of names) {
      const { offset, bytes } = machine.registers[name]!;
      hands.look(name, machine.base + offset, bytes);
    }
  };
  const write = (register: string, value: bigint): void => {
    const { offset, bytes } = machine.registers[register]!;
    hands.write(machine.base + offset, bytes, value);
  };
  for (const step of what.steps) {
    switch (step.do) {
      case 'write': {
        const after = machine.queueAfter(step.register, step.value);
        if (after !== null) [shape, queued] = [after, 0];
        write(step.register, step.value);
        look(machine.afterWrite[step.register] ?? []);
        break;
      }
      case 'store':
        hands.store(step.address, step.words);
        break;
      case 'queue':
        if (shape === null) break;
        hands.store(shape.base + (queued % shape.entries) * shape.entry, padded(step.words, shape.entry / 8));
        write(machine.tail, machine.tailOf(shape, ++queued));
        look(machine.afterQueue);
        break;
      default:
        hands.dma(step);
        look(machine.afterDma);
    }
    hands.mark();
  }
  look(machine.atEnd);
  hands.mark();
}

/** Words of one entry, the rest 0. */
function padded(words: readonly bigint[], count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => words[i] ?? 0n);
}

/** The words of a case's memory that software left, by address: what was loaded, and what its steps stored. */
export function storedWords(what: CompareCase, machine: CompareMachine): Map<number, bigint> {
  const stored = new Map<number, bigint>();
  const store = (address: number, words: readonly bigint[]): void => {
    words.forEach((word, i) => {
      stored.set(address + i * 8, word);
    });
  };
  for (const { address, words } of what.memory) store(address, words);
  const none = (): void => {};
  performSteps(what, machine, { write: none, store, dma: none, look: none, mark: none });
  return stored;
}

/** The words of the arena that differ from what software stored last. `bytes` is the whole arena. */
export function changedWords(
  bytes: Uint8Array,
  stored: ReadonlyMap<number, bigint>,
  base: number,
): Map<number, bigint> {
  const changed = new Map<number, bigint>();
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const wordAt = (i: number): bigint => (BigInt(words[i + 1]!) << 32n) | BigInt(words[i]!);
  for (let i = 0; i < words.length; i += 2) {
    if ((words[i]! | words[i + 1]!) === 0) continue;
    const found = wordAt(i);
    if (stored.get(base + i * 4) !== found) changed.set(base + i * 4, found);
  }
  for (const [address, word] of stored) {
    if (word !== 0n && wordAt((address - base) / 4) === 0n) changed.set(address, 0n);
  }
  return changed;
}

/** The arena as a case begins, in `bytes`. */
export function putImage(bytes: Uint8Array, what: CompareCase, { base }: CompareMachine['arena']): void {
  bytes.fill(0);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (const { address, words } of what.memory) {
    words.forEach((word, i) => {
      view.setBigUint64(address - base + i * 8, word, true);
    });
  }
}

/** Observations from values in the order in which they were looked at. */
export class Observations {
  readonly done: Observation[] = [];
  current: Record<string, bigint | boolean> = {};

  set(name: string, value: bigint | boolean): void {
    this.current[name] = value;
  }

  mark(): void {
    this.done.push(this.current);
    this.current = {};
  }
}
