import type { QemuMachineKind } from '../machines/machines.js';

/** The version of the file format; a reader refuses others. */
export const CASE_VERSION = 1;

/** The devices of a case; both are on bus 0, and neither sends a PASID. */
export type CaseDevice = 'edu' | 'testdev';

/** Some 64-bit words of memory. `as` names the specification's structure, for people; `what` says whose it is. */
export interface MemoryPiece {
  readonly address: number;
  readonly as: string;
  readonly what: string;
  readonly words: readonly bigint[];
}

/** One thing that is done to the machine. */
export type CaseStep =
  | {
      /** Software writes a register, by its name in the specification. */
      readonly do: 'write';
      readonly register: string;
      readonly value: bigint;
    }
  | {
      /** Software changes words in memory. */
      readonly do: 'store';
      readonly address: number;
      readonly as: string;
      readonly what: string;
      readonly words: readonly bigint[];
    }
  | {
      /** Software puts a descriptor or command at the tail of the queue, and moves the tail. */
      readonly do: 'queue';
      readonly as: string;
      readonly words: readonly bigint[];
    }
  | {
      /**
       * A device accesses memory, all within one page. `testdev` writes 78 56 34 12 over and over; `edu` reads into its buffer
       * (zeros, if the read is refused) and writes from it.
       */
      readonly do: 'dma';
      readonly device: CaseDevice;
      readonly access: 'read' | 'write';
      readonly iova: bigint;
      readonly bytes: number;
    };

/** A machine, what is done to it and what devices do: enough to repeat it on any performer. */
export interface CompareCase {
  readonly machine: QemuMachineKind;
  /** The registers that say what the IOMMU can do, by name. */
  readonly identification: Readonly<Record<string, bigint>>;
  /** Where it comes from. */
  readonly note: string;
  readonly memory: readonly MemoryPiece[];
  readonly steps: readonly CaseStep[];
}

/** What was seen after a step, by name: registers, and `ok` of an access whose device can tell. */
export type Observation = Readonly<Record<string, bigint | boolean>>;

/** What a performer answers. */
export interface Answers {
  /** One a step; empty where nothing is looked at. */
  readonly steps: readonly Observation[];
  /** Registers at the end. */
  readonly end: Observation;
  /** Words of the case's memory at the end that are not what software stored there last, by address. */
  readonly memory: ReadonlyMap<number, bigint>;
}

/** A case with the answers of hardware: a file that tests run without QEMU. */
export interface Vector {
  readonly case: CompareCase;
  /** Who answered: `QEMU 11.1.3`. */
  readonly by: string;
  /** The deviations that explain where these answers differ from the models'. */
  readonly deviations: readonly string[];
  readonly answers: Answers;
  /** Answers to the case without step `without`, then without another one of the rest, … : what deviations take out of the comparison. */
  readonly further: readonly { readonly without: number; readonly answers: Answers }[];
}

/** What performs cases. */
export interface Performer {
  readonly name: string;
  perform(what: CompareCase): Answers;
}
