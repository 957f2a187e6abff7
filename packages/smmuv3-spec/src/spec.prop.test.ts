import type { AnyLayout } from '@iommukit/bitfield';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as spec from './index.js';

const SEED = { seed: 46, numRuns: 50 };

const isLayout = (value: unknown): value is AnyLayout =>
  typeof value === 'object' && value !== null && 'hasReserved' in value;
const everything: readonly unknown[] = Object.values(spec);
const layouts: [string, AnyLayout][] = everything.filter(isLayout).map((layout) => [layout.name, layout]);
const random = (layout: AnyLayout) => fc.uint32Array({ minLength: layout.words, maxLength: layout.words });

describe.each(layouts)('%s', (_, layout) => {
  it('makes what it decodes, named bit by named bit', () => {
    fc.assert(
      fc.property(random(layout), (raw) => {
        const again = layout.make(layout.decode(raw));
        const reserved = new Set(layout.fields.filter((f) => f.shape === 'reserved').map((f) => f.key));
        expect(layout.diff(raw, again).filter((d) => !reserved.has(d.field))).toEqual([]);
      }),
      SEED,
    );
  });

  it('says where it comes from and covers every bit', () => {
    expect(layout.ref).toMatch(/^smmuv3\.md \d/);
    const bits = layout.fields.reduce((sum, field) => sum + field.width, 0);
    expect(bits).toBe(layout.bytes * 8);
  });
});

describe.each(spec.REGISTERS.map((register) => [register.name, register] as const))('register %s', (_, register) => {
  it('keeps read-only and reserved bits whatever software writes', () => {
    fc.assert(
      fc.property(random(register), random(register), (raw, value) => {
        const current = register.make(register.decode(raw));
        const after = register.write(current, value);
        expect(register.hasReserved(after)).toBe(false);
        const changed = new Set(register.diff(current, after).map((d) => d.field));
        const fixed = register.fields.filter((f) => f.access === 'ro').map((f) => f.key);
        expect(fixed.filter((key) => changed.has(key))).toEqual([]);
        const [stored, written] = [register.decode(after), register.decode(value)];
        const open = register.fields.filter((f) => f.access === 'rw').map((f) => f.key);
        expect(open.map((key) => stored[key])).toEqual(open.map((key) => written[key]));
      }),
      SEED,
    );
  });
});
