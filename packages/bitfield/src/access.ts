import { BitfieldError } from './error.js';
import type { Field, FieldInfo, WideField } from './field.js';
import type { Access, EnumNames, FieldSpec } from './spec.js';

const TWO32 = 0x1_0000_0000;

/** An unsigned mask of bits [hi:lo] within one 32-bit word, both clipped to it. */
export function mask32(hi: number, lo: number): number {
  if (hi < 0 || lo > 31 || hi < lo) return 0;
  const top = hi >= 31 ? 0xffff_ffff : 2 ** (hi + 1) - 1;
  return (top - (2 ** Math.max(lo, 0) - 1)) >>> 0;
}

/** `stallModel` is `STALL_MODEL` in the specification, unless the declaration says otherwise. */
const specCase = (key: string): string => key.replace(/[A-Z]/g, '_$&').toUpperCase();

const hex = (value: number): string => `0x${value.toString(16)}`;

/**
 * What every field carries. The subclasses are chosen once, by where the bits lie, so that an access tests nothing. Properties
 * are `declare`d and assigned exactly once: the engine then treats them as constants (benchmark `bitfield`).
 */
export abstract class FieldBase implements FieldInfo {
  declare readonly key: string;
  declare readonly specName: string;
  declare readonly hi: number;
  declare readonly lo: number;
  declare readonly width: number;
  declare readonly shape: FieldSpec['shape'];
  declare readonly access: Access;
  declare readonly doc: string;
  declare readonly enum: EnumNames | null;
  declare readonly preset: number;
  declare readonly word: number;
  declare readonly shift: number;
  declare readonly maskLo: number;
  declare readonly maskHi: number;
  declare readonly structure: string;

  constructor(structure: string, key: string, spec: FieldSpec) {
    this.structure = structure;
    this.key = key;
    this.specName = spec.specName ?? specCase(key);
    this.hi = spec.hi;
    this.lo = spec.lo;
    this.width = spec.hi - spec.lo + 1;
    this.shape = spec.shape;
    this.access = spec.access;
    this.doc = spec.doc;
    this.enum = spec.enum;
    this.preset = spec.preset;
    this.word = Math.floor(spec.lo / 32);
    this.shift = spec.lo % 32;
    const base = spec.lo - (spec.lo % 64);
    this.maskLo = mask32(spec.hi - base, spec.lo - base);
    this.maskHi = mask32(spec.hi - base - 32, spec.lo - base - 32);
  }

  nameOf(value: number): string | null {
    for (const name in this.enum) if (this.enum[name] === value) return name;
    return null;
  }

  /** Out of line, so that the check in `set` stays small. */
  refuse(value: number, allowed: string): never {
    const shown = Number.isInteger(value) && value >= 0 ? hex(value) : String(value);
    throw new BitfieldError('range', `${this.structure}.${this.specName}: ${shown} does not fit ${allowed}`);
  }
}

/** Reserved bits: in `fields`, for dumps and masks, and nowhere else. */
export class ReservedField extends FieldBase {}

/** Up to 31 bits inside one 32-bit word: one load, one shift, one mask. */
export class WordField extends FieldBase implements Field {
  declare readonly max: number;
  declare readonly keep: number;
  declare readonly upper: boolean;

  constructor(structure: string, key: string, spec: FieldSpec) {
    super(structure, key, spec);
    this.max = (2 ** this.width - 1) | 0;
    this.keep = ~(this.max << this.shift);
    this.upper = this.word % 2 === 1;
  }

  get(words: Uint32Array, at = 0): number {
    return (words[at + this.word] >>> this.shift) & this.max;
  }

  set(words: Uint32Array, value: number, at = 0): void {
    const bits = value & this.max;
    if (bits !== value) this.refuse(value, `${this.width} bits`);
    const index = at + this.word;
    words[index] = (words[index] & this.keep) | (bits << this.shift);
  }

  of(lo: number, hi = 0): number {
    return ((this.upper ? hi : lo) >>> this.shift) & this.max;
  }
}

/** A whole 32-bit word. */
export class FullWordField extends FieldBase implements Field {
  readonly max = 0xffff_ffff;

  get(words: Uint32Array, at = 0): number {
    return words[at + this.word];
  }

  set(words: Uint32Array, value: number, at = 0): void {
    if (value >>> 0 !== value) this.refuse(value, '32 bits');
    words[at + this.word] = value;
  }

  of(lo: number, hi = 0): number {
    return (this.word % 2 === 1 ? hi : lo) >>> 0;
  }
}

/** Up to 53 bits over two 32-bit words. */
export class TwoWordField extends FieldBase implements Field {
  declare readonly max: number;
  declare readonly first: number;
  declare readonly second: number;
  declare readonly scale: number;

  constructor(structure: string, key: string, spec: FieldSpec) {
    super(structure, key, spec);
    this.max = 2 ** this.width - 1;
    this.first = (-1 << this.shift) | 0;
    this.second = mask32((spec.hi % 32) | 0, 0) | 0;
    this.scale = 2 ** (32 - this.shift);
  }

  get(words: Uint32Array, at = 0): number {
    const index = at + this.word;
    return (words[index] >>> this.shift) + ((words[index + 1] & this.second) >>> 0) * this.scale;
  }

  set(words: Uint32Array, value: number, at = 0): void {
    if (!(value >= 0 && value <= this.max) || value !== Math.floor(value)) this.refuse(value, `${this.width} bits`);
    const index = at + this.word;
    words[index] = (words[index] & ~this.first) | (value << this.shift);
    words[index + 1] = (words[index + 1] & ~this.second) | (value / this.scale);
  }

  of(lo: number, hi = 0): number {
    if (this.word % 2 === 1) this.refuse(lo, 'a field that crosses a 64-bit word; use get');
    return (lo >>> this.shift) + ((hi & this.second) >>> 0) * this.scale;
  }
}

/** Up to 53 bits over three 32-bit words; rare, so it is written for brevity. */
export class ThreeWordField extends FieldBase implements Field {
  declare readonly max: number;
  declare readonly last: number;
  declare readonly scale: number;

  constructor(structure: string, key: string, spec: FieldSpec) {
    super(structure, key, spec);
    this.max = 2 ** this.width - 1;
    this.last = mask32(spec.hi % 32, 0);
    this.scale = 2 ** (32 - this.shift);
  }

  get(words: Uint32Array, at = 0): number {
    const index = at + this.word;
    const upper = words[index + 1] + ((words[index + 2] & this.last) >>> 0) * TWO32;
    return (words[index] >>> this.shift) + upper * this.scale;
  }

  set(words: Uint32Array, value: number, at = 0): void {
    if (!(value >= 0 && value <= this.max) || value !== Math.floor(value)) this.refuse(value, `${this.width} bits`);
    const index = at + this.word;
    const upper = Math.floor(value / this.scale);
    words[index] = (words[index] & ~(-1 << this.shift)) | (value << this.shift);
    words[index + 1] = upper;
    words[index + 2] = (words[index + 2] & ~this.last) | (upper / TWO32);
  }

  of(lo: number): number {
    return this.refuse(lo, 'a field that crosses a 64-bit word; use get');
  }
}

/** An address inside one 64-bit word, its bits in place. */
export class AddressField extends FieldBase implements Field {
  declare readonly max: number;
  declare readonly low: number;
  declare readonly high: number;
  declare readonly base: number;

  constructor(structure: string, key: string, spec: FieldSpec) {
    super(structure, key, spec);
    this.low = this.maskLo | 0;
    this.high = this.maskHi | 0;
    this.base = this.word - (this.word % 2);
    this.max = this.maskHi * TWO32 + this.maskLo;
  }

  get(words: Uint32Array, at = 0): number {
    const index = at + this.base;
    return ((words[index] & this.low) >>> 0) + ((words[index + 1] & this.high) >>> 0) * TWO32;
  }

  set(words: Uint32Array, value: number, at = 0): void {
    const hi = (value / TWO32) | 0;
    const lo = value | 0;
    if ((lo & this.low) !== lo || (hi & this.high) !== hi || (lo >>> 0) + (hi >>> 0) * TWO32 !== value) {
      this.refuse(value, `address bits [${this.hi % 64}:${this.lo % 64}]`);
    }
    const index = at + this.base;
    words[index] = (words[index] & ~this.low) | lo;
    words[index + 1] = (words[index + 1] & ~this.high) | hi;
  }

  of(lo: number, hi = 0): number {
    return ((lo & this.low) >>> 0) + ((hi & this.high) >>> 0) * TWO32;
  }
}

/** An address in the low half of a 64-bit word, or in a 32-bit register: the other half is not touched. */
export class LowAddressField extends FieldBase implements Field {
  declare readonly max: number;
  declare readonly low: number;

  constructor(structure: string, key: string, spec: FieldSpec) {
    super(structure, key, spec);
    this.low = this.maskLo | 0;
    this.max = this.maskLo;
  }

  get(words: Uint32Array, at = 0): number {
    return (words[at + this.word] & this.low) >>> 0;
  }

  set(words: Uint32Array, value: number, at = 0): void {
    if ((value & this.low) >>> 0 !== value) this.refuse(value, `address bits [${this.hi % 64}:${this.lo % 64}]`);
    const index = at + this.word;
    words[index] = (words[index] & ~this.low) | value;
  }

  of(lo: number): number {
    return (lo & this.low) >>> 0;
  }
}

/** A field of up to 64 bits, read and written as two halves. */
export class PairField extends FieldBase implements WideField {
  getLo(words: Uint32Array, at = 0): number {
    return this.piece(words, at + this.word, Math.min(this.width, 32));
  }

  getHi(words: Uint32Array, at = 0): number {
    return this.width > 32 ? this.piece(words, at + this.word + 1, this.width - 32) : 0;
  }

  setLoHi(words: Uint32Array, lo: number, hi: number, at = 0): void {
    const fitLo = mask32(this.width - 1, 0);
    const fitHi = mask32(this.width - 33, 0);
    if ((lo & fitLo) >>> 0 !== lo || (hi & fitHi) >>> 0 !== hi) this.refuse(hi * TWO32 + lo, `${this.width} bits`);
    this.put(words, at + this.word, lo, fitLo);
    if (this.width > 32) this.put(words, at + this.word + 1, hi, fitHi);
  }

  /** `count` bits from this field's shift on, starting in word `index`. */
  piece(words: Uint32Array, index: number, count: number): number {
    const from = words[index] >>> this.shift;
    const rest = this.shift + count > 32 ? words[index + 1] << (32 - this.shift) : 0;
    return ((from | rest) & mask32(count - 1, 0)) >>> 0;
  }

  put(words: Uint32Array, index: number, value: number, fit: number): void {
    const { shift } = this;
    words[index] = (words[index] & ~(fit << shift)) | (value << shift);
    const over = shift === 0 ? 0 : fit >>> (32 - shift);
    if (over !== 0) words[index + 1] = (words[index + 1] & ~over) | (value >>> (32 - shift));
  }
}

/** The accessor whose case fits the field. */
export function accessorOf(structure: string, key: string, spec: FieldSpec): FieldBase {
  if (spec.shape === 'reserved') return new ReservedField(structure, key, spec);
  if (spec.shape === 'wide') return new PairField(structure, key, spec);
  if (spec.shape === 'address') {
    return spec.hi % 64 < 32 ? new LowAddressField(structure, key, spec) : new AddressField(structure, key, spec);
  }
  const words = Math.floor(spec.hi / 32) - Math.floor(spec.lo / 32) + 1;
  if (words === 3) return new ThreeWordField(structure, key, spec);
  if (words === 2) return new TwoWordField(structure, key, spec);
  return spec.hi - spec.lo === 31 ? new FullWordField(structure, key, spec) : new WordField(structure, key, spec);
}
