import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { capabilitiesFrom, capabilitiesOf, DEFAULT_CAPABILITIES, type VtdCapabilities } from './index.js';
import { idRegisters } from './register-map.js';

/** Reads VER, CAP and ECAP from three numbers. */
const words =
  (ver: number, cap: bigint, ecap: bigint) =>
  (offset: number): number => {
    const word = offset < 8 ? BigInt(ver) : offset < 0x10 ? cap : ecap;
    return Number((word >> BigInt((offset % 8) * 8)) & 0xffff_ffffn);
  };

const reported = (name: string, value: boolean): string =>
  JSON.stringify(idRegisters({ ...DEFAULT_CAPABILITIES, [name]: value }));
/** Capabilities that the registers tell, and that are there or not. */
const BOOLEANS = Object.entries(DEFAULT_CAPABILITIES)
  .filter(([, value]) => typeof value === 'boolean')
  .map(([name]) => name)
  .filter((name) => reported(name, true) !== reported(name, false));

const capabilities = fc
  .record({
    flags: fc.array(fc.boolean(), { minLength: BOOLEANS.length, maxLength: BOOLEANS.length }),
    nd: fc.integer({ min: 0, max: 6 }),
    sagaw: fc.constantFrom(0, 2, 4, 6, 8, 14),
    mgaw: fc.integer({ min: 20, max: 56 }),
    sllps: fc.integer({ min: 0, max: 3 }),
    nfr: fc.integer({ min: 0, max: 7 }),
    mamv: fc.integer({ min: 0, max: 63 }),
    fro: fc.constantFrom(0x22, 0x40, 0x80),
    iro: fc.constantFrom(0x0f, 0x50, 0xf0),
    pss: fc.integer({ min: 0, max: 19 }),
    version: fc.integer({ min: 1, max: 6 }),
  })
  .map(({ flags, ...numbers }) =>
    capabilitiesOf({ ...numbers, ...Object.fromEntries(BOOLEANS.map((name, i) => [name, flags[i]!])) }),
  );

function fromRegisters(has: VtdCapabilities): VtdCapabilities {
  const values = new Map(idRegisters(has).map(({ offset, value }) => [offset, value]));
  return capabilitiesFrom((offset) => values.get(offset)!);
}

describe('capabilitiesFrom (vtd.md 1.1 to 1.3)', () => {
  it('is the inverse of what the model reports', () => {
    fc.assert(
      fc.property(capabilities, (has) => {
        expect(fromRegisters(has)).toEqual(has);
      }),
      { seed: 20250, numRuns: 500 },
    );
  });

  it('reads the registers of a QEMU unit with first-stage translation and PASIDs', () => {
    const has = capabilitiesFrom(words(0x10, 0x01d2_008c_222f_0606n, 0x8900_00f0_0f4an));
    expect(has).toMatchObject({ version: 1, nd: 6, cm: false, sagaw: 6, mgaw: 47, fro: 0x22, nfr: 0, sllps: 3 });
    expect(has).toMatchObject({ psi: true, mamv: 18, dwd: true, drd: true, fl1gp: true, esrtps: false });
    expect(has).toMatchObject({
      c: false,
      qi: true,
      dt: false,
      pt: true,
      iro: 0xf,
      pasid: true,
      smts: true,
      flts: true,
    });
    expect(has).toMatchObject({ slts: false, rps: false, pss: 0, prs: false, srs: false });
  });

  it('reads the registers of a client machine, leaving out what is not modelled', () => {
    // CAP and ECAP as boot logs of such machines print them: d2008c40660462, f050da.
    const has = capabilitiesFrom(words(0x10, 0xd2_008c_4066_0462n, 0xf0_50dan));
    expect(has).toMatchObject({ sagaw: 4, mgaw: 38, fro: 0x40, iro: 0x50, smts: false, sllps: 3 });
  });

  it.each([
    ['the domains are a reserved number', 7n, 0xf00n, /nd: 7/],
    ['widths are reserved', 0x0000_0000_222f_1006n, 0xf00n, /sagaw: 16/],
    ['registers lie on one another', 0x0000_0000_022f_0606n, 0xf00n, /fro: 0x2/],
    ['nothing is there', 0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn, /CAP reads all ones/],
  ])('refuses registers where %s', (_what, cap, ecap, message) => {
    expect(() => capabilitiesFrom(words(0x10, cap, ecap))).toThrow(message);
  });
});
