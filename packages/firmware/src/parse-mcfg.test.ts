import { describe, expect, it } from 'vitest';
import { acpiTable, packed } from '../test/acpi-writer.js';
import { expectError, fixture } from '../test/fixture.js';
import { parseMcfg } from './index.js';

const entry = (base: number, segment: number, first: number, last: number): Uint8Array =>
  packed([8, base], [2, segment], [1, first], [1, last], [4, 0]);
const mcfg = (...entries: readonly Uint8Array[]): Uint8Array => acpiTable('MCFG', packed([8, 0], ...entries));

describe('parseMcfg', () => {
  it('reads the table of a real machine', () => {
    expect(parseMcfg(fixture('mcfg.aml'))).toEqual([
      { segment: 0, busRange: [0, 255], ecam: { base: 0x40_1000_0000, bytes: 0x1000_0000 } },
    ]);
  });

  it('begins each entry at its first bus, though the table gives the address of bus 0', () => {
    expect(parseMcfg(mcfg(entry(0x1000_0000, 2, 0x10, 0x1f), entry(0x8000_0000, 3, 0, 0)))).toEqual([
      { segment: 2, busRange: [0x10, 0x1f], ecam: { base: 0x1100_0000, bytes: 0x100_0000 } },
      { segment: 3, busRange: [0, 0], ecam: { base: 0x8000_0000, bytes: 0x10_0000 } },
    ]);
  });

  it('refuses half an entry, buses that run backwards, twice the same bus, and addresses beyond 2^53', () => {
    expectError(() => parseMcfg(mcfg(packed([8, 0]))), 'EBADSTRUCT', 'MCFG length', 4);
    expectError(() => parseMcfg(acpiTable('MCFG', new Uint8Array(0))), 'EBADSTRUCT', 'MCFG length', 4);
    expectError(() => parseMcfg(mcfg(entry(0, 0, 5, 4))), 'EBADPROPERTY', 'MCFG entry 0', 54);
    const twice = mcfg(entry(0, 1, 0, 9), entry(0, 0, 0, 255), entry(0, 1, 9, 10));
    expectError(() => parseMcfg(twice), 'EDUPLICATE', 'MCFG entry 2', 76);
    expectError(() => parseMcfg(mcfg(entry(2 ** 53, 0, 0, 0))), 'ERANGE', 'MCFG entry 0', 44);
    expectError(() => parseMcfg(mcfg(entry(2 ** 53 - 2 ** 20, 0, 1, 1))), 'ERANGE', 'MCFG entry 0', 44);
    expectError(() => parseMcfg(fixture('iort.aml')), 'EBADMAGIC', 'MCFG signature', 0);
  });
});
