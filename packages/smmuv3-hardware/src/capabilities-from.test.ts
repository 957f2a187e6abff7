import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { capabilitiesFrom, capabilitiesOf, DEFAULT_CAPABILITIES, idRegisters, type SmmuCapabilities } from './index.js';

const reported = (name: string, value: boolean): string =>
  JSON.stringify(idRegisters({ ...DEFAULT_CAPABILITIES, [name]: value }));
/** Capabilities that the registers tell, and that are there or not. */
const BOOLEANS = Object.entries(DEFAULT_CAPABILITIES)
  .filter(([name, value]) => typeof value === 'boolean' && name !== 'granule4K')
  .map(([name]) => name)
  .filter((name) => reported(name, true) !== reported(name, false));

const capabilities = fc
  .record({
    flags: fc.array(fc.boolean(), { minLength: BOOLEANS.length, maxLength: BOOLEANS.length }),
    ssidBits: fc.integer({ min: 0, max: 20 }),
    sidBits: fc.integer({ min: 0, max: 32 }),
    oas: fc.constantFrom(32, 36, 40, 42, 44, 48, 52),
    vax: fc.constantFrom(48, 52),
    httu: fc.constantFrom('none', 'access', 'dirty'),
    stall: fc.constantFrom('optional', 'none', 'forced'),
    stallMax: fc.integer({ min: 0, max: 0xffff }),
    cmdqBits: fc.integer({ min: 0, max: 19 }),
    eventqBits: fc.integer({ min: 0, max: 19 }),
    priqBits: fc.integer({ min: 0, max: 19 }),
  })
  .map(({ flags, ...rest }) => ({ ...rest, ...Object.fromEntries(BOOLEANS.map((name, i) => [name, flags[i]!])) }))
  .filter((has) => (has as { stage1?: boolean }).stage1 === true || (has as { stage2?: boolean }).stage2 === true)
  .map((has) => capabilitiesOf(has));

function fromRegisters(has: SmmuCapabilities): SmmuCapabilities {
  const values = new Map(idRegisters(has).map(({ offset, value }) => [offset, value]));
  return capabilitiesFrom((offset) => values.get(offset)!);
}

/** What says nothing in the registers of an SMMU with these capabilities is as if it had not been said. */
const visible = (has: SmmuCapabilities): SmmuCapabilities => ({
  ...has,
  stallMax: has.stall === 'none' ? DEFAULT_CAPABILITIES.stallMax : has.stallMax,
  priqBits: has.pri ? has.priqBits : DEFAULT_CAPABILITIES.priqBits,
  atsRecordsErrors: has.ats && has.atsRecordsErrors,
});

const words = (idr0: number, idr1: number, idr3: number, idr5: number) => (offset: number) =>
  new Map([
    [0, idr0],
    [4, idr1],
    [0xc, idr3],
    [0x14, idr5],
  ]).get(offset)!;

describe('capabilitiesFrom (smmuv3.md 1.2 to 1.4)', () => {
  it('is the inverse of what the model reports', () => {
    fc.assert(
      fc.property(capabilities, (has) => {
        expect(fromRegisters(has)).toEqual(visible(has));
      }),
      { seed: 20251, numRuns: 500 },
    );
  });

  it("reads the registers of QEMU's virt machine", () => {
    const has = capabilitiesFrom(words(0x0d44_101b, 0x0273_0010, 0x1414, 0x74));
    expect(has).toMatchObject({ stage1: true, stage2: true, coherent: true, asid16: true, vmid16: true, cd2l: false });
    expect(has).toMatchObject({ stall: 'none', terminateAborts: true, stream2l: true, httu: 'none', btm: false });
    expect(has).toMatchObject({ ats: false, pri: false, msi: false, sev: false, hyp: false, rangeInvalidation: true });
    expect(has).toMatchObject({ sidBits: 16, ssidBits: 0, cmdqBits: 19, eventqBits: 19, oas: 44, vax: 48, ds: false });
    expect(has).toMatchObject({ granule4K: true, granule16K: true, granule64K: true });
  });

  it.each([
    ['there are 32-bit tables only', [0x0d44_1017, 0x0273_0010, 0, 0x74], /IDR0\.TTF is 1/],
    ['tables are big-endian only', [0x0d64_101b, 0x0273_0010, 0, 0x74], /big-endian tables only/],
    ['the stall model is reserved', [0x0f44_101b, 0x0273_0010, 0, 0x74], /STALL_MODEL 3/],
    ['no stage is there', [0x0d44_1018, 0x0273_0010, 0, 0x74], /no stage/],
    ['addresses are relative', [0x0d44_101b, 0x1273_0010, 0, 0x74], /IDR1\.REL is set/],
    ['tables are fixed', [0x0d44_101b, 0x4273_0010, 0, 0x74], /IDR1\.TABLES_PRESET is set/],
    ['physical addresses have 56 bits', [0x0d44_101b, 0x0273_0010, 0, 0x77], /oas: 56/],
    ['virtual addresses have 56 bits', [0x0d44_101b, 0x0273_0010, 0, 0x874], /vax: 56/],
    ['no granule is there', [0x0d44_101b, 0x0273_0010, 0, 0x04], /no granule/],
    ['nothing is there', [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff], /cannot be modelled|cannot have/],
  ])('refuses registers where %s', (_what, [idr0, idr1, idr3, idr5], message) => {
    expect(() => capabilitiesFrom(words(idr0!, idr1!, idr3!, idr5!))).toThrow(message);
  });
});
