import { InspectError } from './inspect-error.js';

/** What register files hold: 32-bit words by physical address. */
export class RegisterWords {
  readonly words: ReadonlyMap<number, number>;
  /** The files, for messages. */
  readonly files: readonly string[];

  constructor(words: ReadonlyMap<number, number>, files: readonly string[]) {
    this.words = words;
    this.files = files;
  }

  /** Where units begin: the multiples of `align` below which there are words, each covering `bytes` from there on. */
  bases(align: number, bytes: number): number[] {
    const places = [...new Set(Array.from(this.words.keys(), (address) => address - (address % align)))];
    places.sort((a, b) => a - b);
    const bases: number[] = [];
    for (const place of places) {
      const last = bases.at(-1);
      if (last === undefined || place >= last + bytes) bases.push(place);
    }
    return bases;
  }

  /** The word of a register. @throws InspectError ENOREGISTER when no file has it */
  read(address: number, name: string): number {
    const value = this.words.get(address);
    if (value !== undefined) return value;
    const where = `0x${address.toString(16)}`;
    const files = this.files.join(', ') || 'the register files';
    throw new InspectError(
      'ENOREGISTER',
      files,
      `the register ${name} (${where}) is missing`,
      'dump that register too',
    );
  }

  /** Reads the registers of the unit at `base`, by their offsets. */
  unit(base: number): ReadRegister {
    return (offset, name) => this.read(base + offset, name);
  }
}

/** The 32-bit word at an offset of a unit's registers; `name` is for the message when it is missing. */
export type ReadRegister = (offset: number, name: string) => number;
