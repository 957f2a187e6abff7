import type { Setting } from '@iommukit/kernel';
import type { QemuMachineKind } from '../machines/machines.js';
import type { Answers, CaseDevice, CompareCase, Observation } from './case-format.js';
import { SMMUV3_COMPARE } from './smmuv3/machine.js';
import { VTD_COMPARE } from './vtd/machine.js';

/** Where a register lies. */
export interface RegisterPlace {
  /** Within the IOMMU's window. */
  readonly offset: number;
  readonly bytes: 4 | 8;
}

/** The queue that a case's `queue` steps go to, as far as software has set it up. */
export interface QueueShape {
  readonly base: number;
  /** Bytes of an entry. */
  readonly entry: number;
  readonly entries: number;
}

/** What cases need to know of a machine. */
export interface CompareMachine {
  readonly kind: QemuMachineKind;
  readonly backend: 'vtd' | 'smmuv3';
  /** The requester, or stream, of each device. */
  readonly devices: Readonly<Record<CaseDevice, number>>;
  /** RAM of the embedded machine. */
  readonly ram: readonly { readonly base: number; readonly bytes: number }[];
  /** Where everything of a case lies, what devices write included. */
  readonly arena: { readonly base: number; readonly bytes: number };
  /** The IOMMU's registers: the base of its window, and the names that cases use. */
  readonly base: number;
  readonly registers: Readonly<Record<string, RegisterPlace>>;
  readonly identification: readonly string[];
  /** What the hardware does although its registers do not say so: capabilities of the embedded model, over those. */
  readonly assumed: Readonly<Record<string, Setting>>;
  /** Looked at after every access of a device, after every entry for the queue, after every register write, and at the end. */
  readonly afterDma: readonly string[];
  readonly afterQueue: readonly string[];
  readonly afterWrite: Readonly<Record<string, readonly string[]>>;
  readonly atEnd: readonly string[];
  /** Where {@link resetMemory} lies while {@link reset} runs. */
  readonly resetAt: number;
  readonly resetMemory: readonly bigint[];
  /** What makes used hardware as new: register writes, in order. */
  readonly reset: readonly { readonly register: string; readonly value: bigint }[];
  /** False: hardware reads where nobody put anything, and may not be put back without a start. Smaller cases are not looked for there. */
  sound(what: CompareCase): boolean;
  /** The case leaves something in QEMU that only a start takes away, and that only cases of its kind do not mind. */
  leavesTraces(what: CompareCase): boolean;
  /** What registers hold after {@link reset}; hardware that holds anything else has to be started anew. */
  readonly pristine: Readonly<Record<string, bigint>>;
  /** What may make hardware pristine whose registers hold `found` after {@link reset}, which is done again then; null: nothing. */
  recovery(
    found: Readonly<Record<string, bigint>>,
  ): { readonly memory: readonly bigint[]; readonly writes: CompareMachine['reset'] } | null;
  /** What acknowledges everything that waits for software. */
  readonly acknowledge: readonly { readonly register: string; readonly value: bigint }[];
  /** The register that takes the queue's tail. */
  readonly tail: string;
  /** What of an observation means something; the rest is left out. */
  meaningful(seen: Observation): Observation;
  /** Answers with what they say in memory told where it happened. */
  finished(what: CompareCase, answers: Answers): Answers;
  /** The queue's shape after software wrote `value` to `register`; null: that register says nothing about it. */
  queueAfter(register: string, value: bigint): QueueShape | null;
  /** What {@link tail} takes for the n-th entry ever queued. */
  tailOf(shape: QueueShape, n: number): bigint;
}

const MACHINES: readonly CompareMachine[] = [...VTD_COMPARE, SMMUV3_COMPARE];

/** The machine of a kind; null for those that no cases are for. */
export function compareMachine(kind: QemuMachineKind): CompareMachine | null {
  return MACHINES.find((machine) => machine.kind === kind) ?? null;
}

/** The machines of a backend. */
export function compareMachines(backend: string): readonly CompareMachine[] {
  return MACHINES.filter((machine) => machine.backend === backend);
}
