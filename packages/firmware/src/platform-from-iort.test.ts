import { describe, expect, it } from 'vitest';
import { type IortNodeBytes, iort, namedComponent, packed, rootComplex, smmuV3 } from '../test/acpi-writer.js';
import { expectError, fixture } from '../test/fixture.js';
import {
  type PlatformNode,
  parseDevicetree,
  parseIort,
  parseMcfg,
  platformFromDevicetree,
  platformFromIort,
} from './index.js';

const base = platformFromDevicetree(parseDevicetree(fixture('virt.dtb')));
const mcfg = parseMcfg(fixture('mcfg.aml'));
const [SMMU, SECOND] = [0x30, 0x30 + 68];

/** The platform of a table made for the test. */
function platformOf(...nodes: readonly IortNodeBytes[]) {
  return platformFromIort(parseIort(iort(...nodes)), { base });
}

function kinds<K extends PlatformNode['kind']>(nodes: readonly PlatformNode[], kind: K) {
  return nodes.filter((node): node is Extract<PlatformNode, { kind: K }> => node.kind === kind);
}

describe('platformFromIort', () => {
  it('says of a real machine what its devicetree says: registers, interrupts, ECAM, windows', () => {
    const platform = platformFromIort(parseIort(fixture('iort.aml')), { base, mcfg });
    expect([platform.source, platform.model, platform.memory, platform.cpus]).toEqual([
      'acpi',
      'BOCHS BXPC',
      base.memory,
      base.cpus,
    ]);
    const [iommu] = kinds(platform.nodes, 'iommu');
    const [other] = kinds(base.nodes, 'iommu');
    expect({ ...iommu, properties: {} }).toEqual({ ...other, properties: {} });
    const [host] = kinds(platform.nodes, 'pci-host');
    const [bridge] = kinds(base.nodes, 'pci-host');
    const { iommuMap } = bridge;
    expect(host).toEqual({ ...bridge, name: host.name, path: host.path, iommuMap: host.iommuMap });
    // Functions above bus 2 are behind no SMMU: the table says more than the devicetree did.
    expect(host.iommuMap).toEqual([{ ...iommuMap[0], length: 0x300 }]);
    expect(platform.nodes.map(({ kind }) => kind)).toEqual([
      'iommu',
      'pci-host',
      'interrupt-controller',
      'msi-controller',
    ]);
  });

  it('takes configuration spaces from the MCFG if there is one, else from the base', () => {
    const table = iort(smmuV3(0x900_0000), rootComplex(4, [[0, 0x10000, 0x1000, SMMU]], 1));
    const entry = { segment: 4, busRange: [8, 15], ecam: { base: 0x7000_0000, bytes: 0x80_0000 } } as const;
    const platform = platformFromIort(parseIort(table), { base, mcfg: [...mcfg, entry] });
    expect(kinds(platform.nodes, 'pci-host')).toMatchObject([
      { ...entry, path: '/pcie@70000000', windows: [], atsSupported: true, iommuMap: [{ streamBase: 0x1000 }] },
    ]);
    const segment4 = /root complex of segment 4/;
    expectError(() => platformFromIort(parseIort(table), { base, mcfg }), 'ENOPROPERTY', segment4, SECOND);
    expectError(() => platformFromIort(parseIort(table), { base }), 'ENOPROPERTY', segment4, SECOND);
  });

  it('leads the requester ids of every root complex of a segment to their SMMUs', () => {
    const { nodes } = platformOf(
      smmuV3(0x900_0000),
      smmuV3(0xa00_0000),
      rootComplex(0, [[0, 0x100, 0x5000, SMMU]], 1),
      rootComplex(0, [[0x100, 0xffff_0000, 0, SECOND]]),
    );
    expect(kinds(nodes, 'pci-host')).toMatchObject([
      {
        atsSupported: false,
        iommuMap: [
          { ridBase: 0, length: 0x100, streamBase: 0x5000, iommu: '/smmuv3@9000000' },
          { ridBase: 0x100, length: 0xff00, streamBase: 0, iommu: '/smmuv3@a000000' },
        ],
      },
    ]);
  });

  it('gives every function one stream where a mapping is single', () => {
    const { nodes } = platformOf(smmuV3(0x900_0000), rootComplex(0, [[7, 1, 0x42, SMMU, 1]]));
    const [{ iommuMap, iommuMapMask }] = kinds(nodes, 'pci-host');
    expect([iommuMapMask, iommuMap]).toEqual([
      0,
      [{ ridBase: 0, iommu: '/smmuv3@9000000', streamBase: 0x42, length: 1 }],
    ]);
    const two = iort(
      smmuV3(0x900_0000),
      rootComplex(0, [
        [0, 1, 1, SMMU],
        [7, 1, 0x42, SMMU, 1],
      ]),
    );
    expectError(() => platformFromIort(parseIort(two), { base }), 'ENOTSUP', /segment 0/, SECOND);
  });

  it('lists named components with streams, PASID bits and stalls, without registers (FEAT-5)', () => {
    const { nodes } = platformOf(
      smmuV3(0x900_0000),
      namedComponent('\\_SB_.DMA0', 0b101001, [
        [0, 1, 0x100, SMMU, 1],
        [0, 3, 0x200, SMMU],
      ]),
    );
    expect(kinds(nodes, 'device')).toMatchObject([
      {
        name: 'DMA0',
        path: '\\_SB_.DMA0',
        bytes: 0,
        regions: [],
        iommus: [{ iommu: '/smmuv3@9000000', streams: [0x100, 0x200, 0x201, 0x202] }],
        pasidBits: 20,
        canStall: true,
        coherent: true,
      },
    ]);
  });

  it('turns GSIVs into the interrupts of a GIC, and knows one that serves for all (smmuv3.md 7.3)', () => {
    const interruptsOf = (model: number, gsivs: readonly number[]) =>
      kinds(platformOf(smmuV3(0x900_0000, 1, model, gsivs)).nodes, 'iommu')[0].interrupts.map(
        ({ name, type, number }) => `${name} ${type} ${number}`,
      );
    expect(interruptsOf(0, [32, 0, 4096, 0])).toEqual(['eventq spi 0', 'gerror espi 0']);
    expect(interruptsOf(2, [50, 50, 50, 50])).toEqual(['combined spi 18']);
    expect(interruptsOf(0, [50, 50, 50, 50])).toHaveLength(4);
  });

  it('tells quirks and overrides as a devicetree does (smmuv3.md 7.3)', () => {
    const of = (flags: number, model: number) => kinds(platformOf(smmuV3(0x900_0000, flags, model)).nodes, 'iommu')[0];
    expect(of(0b0100, 0)).toMatchObject({ coherent: false, bytes: 0x20000, properties: { 'httu-override': 2 } });
    expect(of(1, 1).properties).toEqual({ 'hisilicon,broken-prefetch-cmd': true });
    expect(of(9, 2)).toMatchObject({
      bytes: 0x10000,
      properties: { 'cavium,cn9900-broken-page1-regspace': true, 'numa-node-id': 3 },
    });
  });

  it('reserves what firmware keeps mapped, and lists older SMMUs as what they are', () => {
    const old = packed([8, 0x2000_0000], [8, 0x10000], [4, 3], [4, 2], [4, 0], [4, 0], [4, 0], [4, 0], [4, 0], [4, 0]);
    const kept = packed([4, 0], [4, 1], [4, 28], [8, 0x5000_0000], [8, 0x1000], [4, 0]);
    const { nodes, reserved } = platformOf({ type: 3, data: old }, { type: 6, data: kept });
    expect(kinds(nodes, 'iommu')).toMatchObject([{ path: '/iommu@20000000', compatible: ['arm,mmu-500'] }]);
    expect(reserved).toEqual([...base.reserved, { base: 0x5000_0000, bytes: 0x1000 }]);
  });

  it('refuses what cannot be one machine', () => {
    const platform =
      (...nodes: readonly IortNodeBytes[]) =>
      () =>
        platformOf(...nodes);
    const one = smmuV3(0x900_0000);
    expectError(platform(one, one), 'EDUPLICATE', 'IORT /smmuv3@9000000', null);
    expectError(platform(one, smmuV3(0x901_0000)), 'EOVERLAP', 'IORT /smmuv3@9010000', null);
    expectError(platform(smmuV3(base.memory[0].base)), 'EOVERLAP', /IORT/, null);
    const both = rootComplex(0, [
      [0, 9, 0, SMMU],
      [8, 9, 0, SMMU],
    ]);
    expectError(platform(one, both), 'EOVERLAP', 'IORT root complex of segment 0', SECOND);
    const wide = namedComponent('A', 0, [[0, 1025, 0, SMMU]]);
    expectError(platform(one, wide), 'ENOTSUP', 'IORT A', SECOND);
  });
});
