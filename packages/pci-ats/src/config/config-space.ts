import type { AnyLayout } from '@iommukit/bitfield';
import type { AccessWidth, Kernel, MmioTarget } from '@iommukit/kernel';

/** Sees a write to one word after the access rules were applied, and returns what the word becomes. */
export type ConfigHook = (before: number, after: number) => number;

interface Placed {
  readonly layout: AnyLayout;
  /** Index of the layout's first word. */
  readonly at: number;
}

/** The 4096 bytes of a function's configuration space. Words that nothing declares read 0 and ignore writes. */
export class ConfigSpace implements MmioTarget {
  readonly state: { readonly words: Uint32Array; present: boolean };
  readonly placed: (Placed | null)[] = new Array<Placed | null>(1024).fill(null);
  readonly hooks = new Map<number, ConfigHook>();
  /** Told the offset of a word that the function changed by itself, so that waiting drivers look again. */
  onChange: (offset: number) => void = nobody;

  constructor(kernel: Kernel) {
    this.state = kernel.checkpoints.keep({ words: new Uint32Array(1024), present: true });
  }

  /** Puts a structure at `offset` (bytes, a multiple of 4), with its first content. */
  place(layout: AnyLayout, offset: number, words: Uint32Array): void {
    const at = offset / 4;
    for (let i = 0; i < layout.words; i++) this.placed[at + i] = { layout, at };
    this.state.words.set(words, at);
  }

  /** Calls `hook` at every write to the word at `offset`. */
  hook(offset: number, hook: ConfigHook): void {
    this.hooks.set(offset / 4, hook);
  }

  /** The word at `offset`. */
  word(offset: number): number {
    return this.state.words[offset / 4];
  }

  /** The function itself sets bits of the word at `offset`. */
  change(offset: number, mask: number, value: number): void {
    const { words } = this.state;
    const i = offset / 4;
    words[i] = (words[i] & ~mask) | (value & mask);
    this.onChange(offset);
  }

  /** What was removed reads all ones, and takes no writes. */
  read(offset: number, bytes: AccessWidth, out: Uint32Array): void {
    if (!this.state.present) {
      out.fill(0xffffffff);
      return;
    }
    const i = offset >>> 2;
    out[0] = this.state.words[i] >>> ((offset & 3) * 8);
    out[1] = bytes === 8 ? this.state.words[i + 1] : 0;
  }

  write(offset: number, bytes: AccessWidth, lo: number, hi: number): void {
    if (!this.state.present) return;
    const shift = (offset & 3) * 8;
    const mask = bytes >= 4 ? 0xffffffff : (2 ** (bytes * 8) - 1) << shift;
    this.writeWord(offset >>> 2, lo << shift, mask);
    if (bytes === 8) this.writeWord((offset >>> 2) + 1, hi, 0xffffffff);
  }

  writeWord(i: number, value: number, mask: number): void {
    const placed = this.placed[i];
    if (placed === null) return;
    const { layout, at } = placed;
    const before = this.state.words[i];
    // Bytes that are not written keep what can be written back unharmed: bits that a 1 would clear are 0 there.
    const writable = layout.writeWord(i - at, 0, 0xffffffff);
    const merged = ((value & mask) | (before & writable & ~mask)) >>> 0;
    const after = layout.writeWord(i - at, before, merged);
    this.state.words[i] = this.hooks.get(i)?.(before, after) ?? after;
  }
}

function nobody(): void {
  // Not in any window yet.
}
