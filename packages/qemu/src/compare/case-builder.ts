import type { AnyLayout } from '@iommukit/bitfield';
import { Rng } from '@iommukit/kernel';
import type { CaseDevice, CaseStep, CompareCase, MemoryPiece } from './case-format.js';
import type { CompareMachine } from './machine.js';

const FRAME = 4096;

/** What a generator of cases builds on: memory of the arena, steps, and seeded choices. */
export class CaseBuilder {
  readonly rng: Rng;
  readonly machine: CompareMachine;
  readonly identification: Readonly<Record<string, bigint>>;
  readonly pieces = new Map<number, MemoryPiece>();
  readonly words = new Map<number, bigint>();
  readonly steps: CaseStep[] = [];
  next: number;

  constructor(machine: CompareMachine, identification: Readonly<Record<string, bigint>>, seed: number, index: number) {
    this.rng = new Rng(seed, index);
    this.machine = machine;
    this.identification = identification;
    this.next = machine.arena.base;
  }

  // ── choices ────────────────────────────────────────────────────────────────────────────────────────────────────

  below(n: number): number {
    return this.rng.below(n);
  }

  chance(percent: number): boolean {
    return this.rng.below(100) < percent;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.rng.below(list.length)]!;
  }

  /** One of the bits of `mask`, or 0 if it has none. */
  bitOf(mask: bigint): bigint {
    const bits: bigint[] = [];
    for (let bit = 0n; bit < 64n; bit++) if (((mask >> bit) & 1n) === 1n) bits.push(1n << bit);
    return bits.length === 0 ? 0n : this.pick(bits);
  }

  // ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Frames of the arena, aligned to their size. */
  frames(count = 1): number {
    const bytes = count * FRAME;
    const at = Math.ceil(this.next / bytes) * bytes;
    this.next = at + bytes;
    if (this.next > this.machine.arena.base + this.machine.arena.bytes) throw new Error('the arena is full');
    return at;
  }

  get room(): number {
    return (this.machine.arena.base + this.machine.arena.bytes - this.next) / FRAME;
  }

  load(address: number): bigint {
    return this.words.get(address) ?? 0n;
  }

  /** Words of a structure: in the image while there are no steps, as a step afterwards. */
  put(layout: AnyLayout | string, what: string, address: number, words: readonly bigint[], later = false): void {
    const piece = { address, as: typeof layout === 'string' ? layout : layout.name, what, words };
    words.forEach((word, i) => {
      this.words.set(address + i * 8, word);
    });
    if (later) this.steps.push({ do: 'store', ...piece });
    else this.pieces.set(address, piece);
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  write(register: string, value: bigint | number): void {
    this.steps.push({ do: 'write', register, value: BigInt(value) });
  }

  queue(layout: AnyLayout | string, words: readonly bigint[]): void {
    this.steps.push({ do: 'queue', as: typeof layout === 'string' ? layout : layout.name, words });
  }

  dma(device: CaseDevice, access: 'read' | 'write', iova: bigint, bytes: number): void {
    this.steps.push({ do: 'dma', device, access, iova: BigInt.asUintN(64, iova), bytes });
  }

  done(note: string): CompareCase {
    const memory = [...this.pieces.values()].sort((a, b) => a.address - b.address);
    return { machine: this.machine.kind, identification: this.identification, note, memory, steps: this.steps };
  }
}

/** The 64-bit words that a declaration makes of named values. */
export function wordsOf(layout: AnyLayout, values: Readonly<Record<string, number>>): bigint[] {
  const made = layout.make(values);
  return Array.from({ length: made.length / 2 }, (_, i) => (BigInt(made[i * 2 + 1]!) << 32n) | BigInt(made[i * 2]!));
}
