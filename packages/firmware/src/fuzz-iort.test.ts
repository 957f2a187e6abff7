import { describe, expect, it } from 'vitest';
import { iort, namedComponent, packed, rootComplex, smmuV3 } from '../test/acpi-writer.js';
import { fixture } from '../test/fixture.js';
import { fuzz } from '../test/fuzz.js';
import { parseDevicetree, parseIort, parseMcfg, platformFromDevicetree, platformFromIort } from './index.js';

const base = platformFromDevicetree(parseDevicetree(fixture('virt.dtb')));
const mcfg = fixture('mcfg.aml');

/** A table with every kind of node. */
const RICH = iort(
  { type: 0, data: packed([4, 1], [4, 0]) },
  smmuV3(0x900_0000, 0b1101),
  {
    type: 3,
    data: packed([8, 0x2000_0000], [8, 0x1000], [4, 1], [4, 0], [4, 0], [4, 1], [4, 60], [8, 0], [4, 33], [4, 0]),
  },
  rootComplex(0, [
    [0, 0x100, 0x1000, 0x48],
    [0x200, 0x100, 0x100, 0x30],
  ]),
  namedComponent('\\_SB_.DMA0', 0b101001, [[0, 1, 0x100, 0x48, 1]]),
  { type: 6, data: packed([4, 0], [4, 1], [4, 28], [8, 0x5000_0000], [8, 0x1000], [4, 0]) },
  { type: 5, data: packed([8, 0x3000_0000], [4, 40], [4, 0x48]) },
);

/** Far beyond what the mutations take (seconds): a hang fails, a slow machine does not. */
const LIMIT_MS = 300_000;

describe('damaged ACPI tables', () => {
  const read = (bytes: Uint8Array) => platformFromIort(parseIort(bytes), { base });

  it('never raise anything but a FirmwareError: 60,000 mutations of a real IORT', { timeout: LIMIT_MS }, () => {
    const { accepted, rejected, codes } = fuzz(fixture('iort.aml'), 22, 60_000, read);
    expect(accepted + rejected).toBe(60_000);
    expect(accepted).toBeGreaterThan(5_000);
    expect(rejected).toBeGreaterThan(5_000);
    expect([...codes]).toEqual(
      expect.arrayContaining(['EBADMAGIC', 'ETRUNCATED', 'ECHECKSUM', 'EBADHEADER', 'EBADSTRUCT', 'EBADREFERENCE']),
    );
  });

  it('never raise anything but a FirmwareError: 60,000 mutations of one with every kind of node', {
    timeout: LIMIT_MS,
  }, () => {
    expect(read(RICH).nodes.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['iommu', 'iommu', 'pci-host', 'device']),
    );
    const { accepted, codes } = fuzz(RICH, 23, 60_000, read);
    expect(accepted).toBeGreaterThan(5_000);
    expect([...codes]).toEqual(
      expect.arrayContaining(['EBADNAME', 'EBADPROPERTY', 'ERANGE', 'EOVERLAP', 'ENOPROPERTY', 'ENOTSUP']),
    );
  });

  it('never raise anything but a FirmwareError: 10,000 mutations of a real MCFG', { timeout: LIMIT_MS }, () => {
    const { accepted, rejected } = fuzz(mcfg, 24, 10_000, parseMcfg);
    expect([accepted > 500, rejected > 500]).toEqual([true, true]);
  });
});
