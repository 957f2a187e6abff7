import type { ReadRegister } from './register-words.js';

/** A write to one 32-bit register, at its offset. */
export interface RegisterWrite {
  /** The register, for messages. */
  readonly name: string;
  readonly offset: number;
  readonly value: number;
}

/** How the state of a kind of unit is put into a model of it that has just been reset. */
export interface RegisterSequence {
  /** The backend's name on command lines. */
  readonly backend: string;
  /** Registers of one unit: their window begins at a multiple of `align`. */
  readonly align: number;
  readonly bytes: number;
  /**
   * What is written, in the specification's order, so that the model translates as the unit did. Command and invalidation queues stay
   * off: what is in them is not run again. Fault queues begin empty.
   * @throws InspectError ENOREGISTER for a register that is needed and not given
   */
  writes(read: ReadRegister): readonly RegisterWrite[];
  /** The access is no request to memory but an interrupt: it is not translated. */
  interrupts(page: number, pasid: number): boolean;
}
