import { describe, expect, it } from 'vitest';
import { andd, atsr, dmar, drhd, rhsa, rmrr, satc, scope, structure } from '../test/dmar-writer.js';
import { fixture } from '../test/fixture.js';
import { fuzz } from '../test/fuzz.js';
import { Q35 } from '../test/q35.js';
import { parseDmar, platformFromDmar } from './index.js';

/** A table with every kind of structure and of scope. */
const RICH = dmar([
  drhd(0xfed9_0000, [scope(1, 0, 0, [2, 0]), scope(5, 7, 0, [21, 1]), scope(1, 0, 0, [8, 0], [1, 0])]),
  drhd(0xfed9_1000, [scope(3, 2, 0xf0, [31, 0]), scope(4, 0, 0xf0, [15, 0])], { flags: 1, size: 1 }),
  rmrr(0x7b80_0000, 0x7fff_ffff, scope(1, 0, 0, [20, 0])),
  atsr(0, 0, scope(2, 0, 0, [8, 0])),
  rhsa(0xfed9_1000, 1),
  andd(7, '\\_SB.I2C0'),
  satc(0, 1, scope(1, 0, 0, [2, 0])),
  structure(6, new Uint8Array(4)),
]);

/** Far beyond what the mutations take (seconds): a hang fails, a slow machine does not. */
const LIMIT_MS = 300_000;

describe('damaged DMARs', () => {
  const bridges = [{ segment: 0, bus: 0, device: 8, function: 0, buses: [1, 3] }] as const;
  const read = (bytes: Uint8Array) => platformFromDmar(parseDmar(bytes), { base: Q35, bridges });

  it('never raise anything but a FirmwareError: 60,000 mutations of a real one', { timeout: LIMIT_MS }, () => {
    const { accepted, rejected, codes } = fuzz(fixture('dmar.aml'), 25, 60_000, read);
    expect(accepted + rejected).toBe(60_000);
    expect(accepted).toBeGreaterThan(5_000);
    expect(rejected).toBeGreaterThan(5_000);
    expect([...codes]).toEqual(
      expect.arrayContaining(['EBADMAGIC', 'ETRUNCATED', 'ECHECKSUM', 'EBADHEADER', 'EBADSTRUCT', 'EBADPROPERTY']),
    );
  });

  it('never raise anything but a FirmwareError: 60,000 mutations of one with every kind of structure', {
    timeout: LIMIT_MS,
  }, () => {
    expect(read(RICH).nodes.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['iommu', 'iommu', 'pci-host', 'device']),
    );
    const { accepted, codes } = fuzz(RICH, 26, 60_000, read);
    expect(accepted).toBeGreaterThan(5_000);
    expect([...codes]).toEqual(
      expect.arrayContaining(['EBADNAME', 'EBADREFERENCE', 'EDUPLICATE', 'ERANGE', 'EOVERLAP', 'ENOPROPERTY']),
    );
  });
});
