import type { AnyLayout } from '@iommukit/bitfield';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as spec from './index.js';

const SEED = { seed: 47, numRuns: 50 };

const isLayout = (value: unknown): value is AnyLayout =>
  typeof value === 'object' && value !== null && 'hasReserved' in value;
const everything: readonly unknown[] = [...Object.values(spec), ...spec.REGISTERS];
const layouts: [string, AnyLayout][] = [...new Set(everything.filter(isLayout))].map((layout) => [layout.name, layout]);
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
    expect(layout.ref).toMatch(/^vtd\.md (\d|D-\d)/);
    const bits = layout.fields.reduce((sum, field) => sum + field.width, 0);
    expect(bits).toBe(layout.bytes * 8);
  });
});

describe('ranges', () => {
  const page = fc.integer({ min: 0, max: 2 ** 52 - 1 });

  it('come back from the encoding of a device-TLB descriptor', () => {
    fc.assert(
      fc.property(page, fc.integer({ min: 0, max: 52 }), (start, order) => {
        const { addr, s } = spec.encodeDeviceTlbRange(start * 4096, order);
        const base = Number((BigInt(start) >> BigInt(order)) << BigInt(order + 12));
        expect(spec.decodeDeviceTlbRange(addr, s)).toEqual({ base, order });
      }),
      { seed: 48, numRuns: 2000 },
    );
  });
});
