import { describe, expect, it } from 'vitest';
import { blob, node } from '../test/fdt-writer.js';
import { fixture } from '../test/fixture.js';
import { mutate, random } from '../test/mutate.js';
import { isFirmwareError } from './firmware-error.js';
import { parseDevicetree } from './parse-devicetree.js';
import { platformFromDevicetree } from './platform-from-devicetree.js';

/** A tree that uses everything which the real one leaves out. */
const RICH = blob(
  node(
    '',
    { '#address-cells': 2, '#size-cells': 2, 'interrupt-parent': 1, 'dma-coherent': true, model: 'rich' },
    node('memory@0', { device_type: 'memory', reg: [0, 0x8000_0000, 0, 0x1000_0000, 1, 0, 0, 0x1000_0000] }),
    node(
      'reserved-memory',
      { '#address-cells': 2, '#size-cells': 2, ranges: true },
      node('r@0', { reg: [0, 0x8000_0000, 0, 0x1000] }),
    ),
    node('cpus', { '#address-cells': 1, '#size-cells': 0 }, node('cpu@0', { device_type: 'cpu', reg: [0] })),
    node('aliases', { dma: '/soc/dma@3000' }),
    node(
      'soc',
      {
        '#address-cells': 1,
        '#size-cells': 1,
        ranges: [0, 0, 0x1000_0000, 0x1_0000, 0x2_0000, 0, 0x2000_0000, 0x1_0000],
      },
      node('intc@0', { phandle: 1, reg: [0, 0x1000], 'interrupt-controller': true, '#interrupt-cells': 3 }),
      node('iommu@1000', {
        phandle: 2,
        reg: [0x1000, 0x1000],
        '#iommu-cells': 1,
        interrupts: [0, 1, 1],
        'interrupt-names': 'combined',
      }),
      node('iommu@2000', { phandle: 3, reg: [0x2000, 0x1000], '#iommu-cells': 1, 'interrupts-extended': [1, 0, 2, 4] }),
      node('dma@3000', {
        reg: [0x3000, 0x100],
        iommus: [2, 1, 3, 2, 2, 3],
        'pasid-num-bits': 20,
        'dma-can-stall': true,
        interrupts: [0, 3, 4],
      }),
      node('off@4000', { status: 'disabled', iommus: [9] }),
    ),
    node('pcie@0', {
      device_type: 'pci',
      reg: [4, 0, 0, 0x1000_0000],
      '#address-cells': 3,
      '#size-cells': 2,
      ranges: [0x4300_0000, 0, 0, 5, 0, 0, 0x1000],
      'iommu-map': [0, 2, 0, 0x100, 0x100, 3, 0, 0x100],
      'iommu-map-mask': 0xffff,
      'ats-supported': true,
    }),
  ),
  { reservations: [[0x8000_0000n, 0x1000n]] },
);

function fuzz(original: Uint8Array, used: number, seed: number, count: number) {
  const pick = random(seed);
  const work = original.slice();
  const pristine = original.slice(0, used);
  const seen = { accepted: 0, rejected: 0, codes: new Map<string, number>() };
  for (let i = 0; i < count; i++) {
    const file = mutate(work, used, pick);
    try {
      platformFromDevicetree(parseDevicetree(file));
      seen.accepted++;
    } catch (error) {
      if (!isFirmwareError(error)) throw new Error(`mutation ${i} of seed ${seed}: ${error}`, { cause: error });
      if (error.where === '' || error.remedy === '' || (error.offset !== null && error.offset > original.length)) {
        throw new Error(`mutation ${i} of seed ${seed}: no place in ${error.message}`);
      }
      seen.rejected++;
      seen.codes.set(error.code, (seen.codes.get(error.code) ?? 0) + 1);
    }
    work.set(pristine);
  }
  return seen;
}

/** Far beyond what the mutations take (seconds): a hang fails, a slow machine does not. */
const LIMIT_MS = 300_000;

describe('damaged devicetrees', () => {
  it('never raise anything but a FirmwareError: 100,000 mutations of a real tree', { timeout: LIMIT_MS }, () => {
    const virt = fixture('virt.dtb');
    const { accepted, rejected, codes } = fuzz(virt, 7944, 20, 100_000); // the tree ends at 7,941
    expect(accepted + rejected).toBe(100_000);
    expect(accepted).toBeGreaterThan(10_000);
    expect(rejected).toBeGreaterThan(10_000);
    expect([...codes.keys()]).toEqual(
      expect.arrayContaining(['EBADMAGIC', 'ETRUNCATED', 'EBADHEADER', 'EBADSTRUCT', 'EBADNAME', 'EBADPROPERTY']),
    );
  });

  it('never raise anything but a FirmwareError: 30,000 mutations of a tree that uses every property', {
    timeout: LIMIT_MS,
  }, () => {
    const { accepted, rejected, codes } = fuzz(RICH, RICH.length & ~3, 21, 30_000);
    expect(accepted + rejected).toBe(30_000);
    expect(accepted).toBeGreaterThan(2_000);
    expect(rejected).toBeGreaterThan(2_000);
    expect([...codes.keys()]).toEqual(
      expect.arrayContaining(['ENOPHANDLE', 'EOVERLAP', 'ERANGE', 'ENOTSUP', 'ENOPROPERTY', 'EDUPLICATE']),
    );
  });

  it('are what the undamaged trees are not', () => {
    expect(platformFromDevicetree(parseDevicetree(RICH)).nodes.map((each) => each.kind)).toEqual([
      'interrupt-controller',
      'iommu',
      'iommu',
      'device',
      'pci-host',
    ]);
  });
});
