import { BitfieldError } from './error.js';
import type { FieldSpec, FieldSpecs } from './spec.js';

/** What bits that no field names are taken for; without it an unnamed gap is an error. */
export type Gaps = 'reserved-zero' | 'reserved-preserve';

const fail = (message: string): never => {
  throw new BitfieldError('declaration', message);
};

const range = (spec: { hi: number; lo: number }): string =>
  spec.hi === spec.lo ? `[${spec.lo}]` : `[${spec.hi}:${spec.lo}]`;

/** Throws when one field is malformed by itself: order, size, alignment, enum, preset. */
function checkField(name: string, bitCount: number, key: string, spec: FieldSpec): void {
  const { hi, lo, shape } = spec;
  const what = `${name}.${key} ${range(spec)}`;
  const whole = Number.isInteger(hi) && Number.isInteger(lo);
  if (!whole || lo < 0 || hi < lo) fail(`${what}: write bits as [hi:lo], whole numbers, hi not below lo`);
  if (hi >= bitCount) fail(`${what} lies outside the structure, which has bits [${bitCount - 1}:0]`);
  const width = hi - lo + 1;
  if (shape === 'bits' && width > 53) fail(`${what} has ${width} bits, a number holds 53: use wide() or address()`);
  if (shape === 'wide' && width > 64) fail(`${what} has ${width} bits, wide() holds 64`);
  if (shape === 'address') {
    if (Math.floor(hi / 64) !== Math.floor(lo / 64)) fail(`${what}: an address lies within one 64-bit word`);
    if (width > 53) fail(`${what} has ${width} significant bits, a number holds 53: use wide()`);
  }
  const values = { ...spec.enum, 'the preset': spec.preset };
  for (const [label, value] of Object.entries(values)) {
    const fits = Number.isInteger(value) && value >= 0 && value < 2 ** width;
    if (!fits) fail(`${what}: ${label} = ${value} does not fit ${width} bits`);
  }
}

/**
 * The fields of one structure in bit order, gaps filled in as `gaps` says. Throws {@link BitfieldError} for fields that
 * overlap, lie outside, or leave bits without a name.
 */
export function checkedFields(
  name: string,
  bitCount: number,
  specs: FieldSpecs,
  gaps: Gaps | undefined,
): readonly (readonly [string, FieldSpec])[] {
  for (const [key, spec] of Object.entries(specs)) checkField(name, bitCount, key, spec);
  const sorted = Object.entries(specs).sort(([, a], [, b]) => a.lo - b.lo);
  const all: (readonly [string, FieldSpec])[] = [];
  let next = 0;
  let before = 'the start';
  const gap = (hi: number, after: string): void => {
    const bits = { hi, lo: next };
    if (gaps === undefined) {
      fail(
        `${name}: no field names bits ${range(bits)}, between ${before} and ${after}: use reserved() or the gaps option`,
      );
    }
    all.push([
      `reserved${range(bits)}`,
      {
        ...bits,
        shape: 'reserved',
        doc: 'reserved',
        access: gaps as Gaps,
        enum: null,
        specName: gaps === 'reserved-zero' ? 'RES0' : 'reserved',
        preset: 0,
      },
    ]);
  };
  for (const [key, spec] of sorted) {
    const label = `${key} ${range(spec)}`;
    if (spec.lo < next) fail(`${name}: fields ${before} and ${label} overlap`);
    if (spec.lo > next) gap(spec.lo - 1, label);
    all.push([key, spec]);
    next = spec.hi + 1;
    before = label;
  }
  if (next < bitCount) gap(bitCount - 1, 'the end');
  return all;
}
