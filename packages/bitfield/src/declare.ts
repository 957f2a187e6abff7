import { BitfieldError } from './error.js';
import type { Partials, Reg32, Reg64, Table, Values } from './layout.js';
import type { FieldSpecs, Wide } from './spec.js';
import { type LayoutOptions, Structure } from './structure.js';

/** What a declaration says about a register besides its fields. */
export interface RegisterOptions extends LayoutOptions {
  /** The value after reset; default 0. */
  readonly reset?: number | Wide;
}

class DeclaredTable<S extends FieldSpecs> extends Structure<S> implements Table<S> {
  readonly kind = 'table';
}

class DeclaredRegister<S extends FieldSpecs> extends Structure<S> {
  declare readonly offset: number;
  declare readonly initial: Wide;

  constructor(name: string, offset: number, bytes: 4 | 8, options: RegisterOptions, specs: S) {
    super(name, bytes, options, specs);
    if (!Number.isInteger(offset / 4) || offset < 0) {
      throw new BitfieldError('declaration', `${name}: offset ${offset} is not a multiple of 4`);
    }
    this.offset = offset;
    const reset = options.reset ?? 0;
    const wide = typeof reset === 'number' ? { lo: reset >>> 0, hi: Math.floor(reset / 2 ** 32) } : reset;
    if ((bytes === 4 && wide.hi !== 0) || wide.hi >>> 0 !== wide.hi || wide.lo >>> 0 !== wide.lo) {
      throw new BitfieldError('declaration', `${name}: the reset value does not fit ${bytes} bytes`);
    }
    this.initial = wide;
  }

  reset(): Uint32Array<ArrayBuffer> {
    return Uint32Array.of(this.initial.lo, this.initial.hi).slice(0, this.words);
  }
}

class DeclaredReg32<S extends FieldSpecs> extends DeclaredRegister<S> implements Reg32<S> {
  readonly kind = 'reg32';

  pack(values: Partials<S>): number {
    return this.make(values)[0];
  }

  unpack(value: number): Values<S> {
    return this.decode(Uint32Array.of(value));
  }
}

class DeclaredReg64<S extends FieldSpecs> extends DeclaredRegister<S> implements Reg64<S> {
  readonly kind = 'reg64';
}

/** Declares a 32-bit register at a byte offset. Throws {@link BitfieldError} when the fields overlap, leave gaps or do not fit. */
export const reg32 = <const S extends FieldSpecs>(
  name: string,
  offset: number,
  options: RegisterOptions,
  fields: S,
): Reg32<S> => new DeclaredReg32(name, offset, 4, options, fields);

/** Declares a 64-bit register at a byte offset. Throws {@link BitfieldError} when the fields overlap, leave gaps or do not fit. */
export const reg64 = <const S extends FieldSpecs>(
  name: string,
  offset: number,
  options: RegisterOptions,
  fields: S,
): Reg64<S> => new DeclaredReg64(name, offset, 8, options, fields);

/** Declares a structure in memory. Throws {@link BitfieldError} when the fields overlap, leave gaps or do not fit. */
export const table = <const S extends FieldSpecs>(
  name: string,
  bytes: number,
  options: LayoutOptions,
  fields: S,
): Table<S> => new DeclaredTable(name, bytes, options, fields);
