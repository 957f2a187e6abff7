import type { AnyRegister } from '@iommukit/bitfield';
import type { AccessWidth, Kernel } from '@iommukit/kernel';
import type { BarTarget } from '@iommukit/pci-ats';
import { ID, REGISTER_BYTES, REGISTERS, STATUS, USER_PAGE } from './registers.js';

/** Bytes that have registers. */
const BYTES = 0x40;

/** The engine's registers: 32-bit words with the declared access rules; a 64-bit register takes two halves or one access. */
export class RegisterFile implements BarTarget {
  readonly bytes = REGISTER_BYTES;
  readonly state: { readonly words: Uint32Array };
  readonly byWord: (AnyRegister | undefined)[] = [];
  /** Told of every write, after the access rules were applied. */
  readonly written: (register: AnyRegister) => void;

  /** Registers of a device on `kernel`; `written` is told of every write. */
  constructor(kernel: Kernel, written: (register: AnyRegister) => void) {
    this.written = written;
    const words = new Uint32Array(BYTES / 4);
    for (const register of REGISTERS) {
      words.set(register.reset(), register.offset / 4);
      for (let i = 0; i < register.words; i++) this.byWord[register.offset / 4 + i] = register;
    }
    this.state = kernel.checkpoints.keep({ words });
  }

  /** A register's low word. */
  word(register: AnyRegister): number {
    return this.state.words[register.offset / 4]!;
  }

  /** The page number (address / 4096) and the offset that a 64-bit address register holds. */
  address(register: AnyRegister): { page: number; offset: number } {
    const lo = this.word(register);
    const hi = this.state.words[register.offset / 4 + 1]!;
    return { page: hi * 2 ** 20 + (lo >>> 12), offset: lo & 0xfff };
  }

  /** The hardware itself changes a register. */
  set(register: AnyRegister, value: number): void {
    this.state.words[register.offset / 4] = value;
  }

  read(offset: number, bytes: AccessWidth, out: Uint32Array): void {
    out[0] = this.wordAt(offset) >>> ((offset & 3) * 8);
    out[1] = bytes === 8 ? this.wordAt(offset + 4) : 0;
  }

  /** What is no register reads 0. */
  wordAt(offset: number): number {
    if (offset < BYTES) return this.state.words[offset >>> 2]!;
    const inUserPage = (offset & ~3) - USER_PAGE;
    return inUserPage === ID.offset || inUserPage === STATUS.offset ? this.state.words[inUserPage / 4]! : 0;
  }

  /** Narrow writes are dropped: the device takes 32-bit words. */
  write(offset: number, bytes: AccessWidth, lo: number, hi: number): void {
    if (bytes < 4) return;
    this.writeWord(offset >>> 2, lo);
    if (bytes === 8) this.writeWord((offset >>> 2) + 1, hi);
  }

  /** Writes 32 bits to the word `i`, as its register allows. */
  writeWord(i: number, value: number): void {
    const register = this.byWord[i];
    if (register === undefined) return;
    const part = i - register.offset / 4;
    this.state.words[i] = register.writeWord(part, this.state.words[i]!, value);
    if (part === 0) this.written(register);
  }
}
