import type { FieldInfo } from './field.js';
import type { FormatOptions } from './layout.js';
import type { Wide } from './spec.js';

const digits = (value: number, count: number): string => value.toString(16).padStart(count, '0');

/** The value in the shape that a reader expects: addresses and halves as padded hex, small numbers in both bases. */
function shown(field: FieldInfo, value: number | Wide): string {
  if (typeof value !== 'number') return `0x${digits(value.hi, 8)}${digits(value.lo, 8)}`;
  if (field.shape === 'address') return `0x${digits(value, 16)}`;
  return value < 10 ? String(value) : `0x${value.toString(16)}`;
}

/** Prints a structure: the title with its raw words, 64 bits at a time, then a line for each field, columns aligned. */
export function formatLayout(
  layout: { readonly name: string; readonly words: number; readonly fields: readonly FieldInfo[] },
  words: Uint32Array,
  options: FormatOptions,
  valueOf: (field: FieldInfo) => number | Wide,
): string {
  const raw: string[] = [];
  for (let i = 0; i < layout.words; i += 2) {
    raw.push(`0x${i + 1 < layout.words ? digits(words[i + 1], 8) : ''}${digits(words[i], 8)}`);
  }
  const rows: string[][] = [];
  for (const field of layout.fields) {
    const value = valueOf(field);
    const zero = typeof value === 'number' ? value === 0 : value.lo === 0 && value.hi === 0;
    if (zero && (field.shape === 'reserved' || options.zeros === false)) continue;
    let name = '';
    for (const [label, number] of Object.entries(field.enum ?? {})) if (number === value) name = label;
    rows.push([
      field.specName,
      field.hi === field.lo ? `[${field.lo}]` : `[${field.hi}:${field.lo}]`,
      shown(field, value),
      name,
      options.docs === true ? field.doc : '',
    ]);
  }
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(0, ...rows.map((row) => row[column].length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (widths[column] === 0 ? '' : `  ${cell.padEnd(widths[column])}`))
      .join('')
      .trimEnd(),
  );
  return [`${layout.name}  ${raw.join(' ')}`, ...lines].join('\n');
}
