import { describe, expect, it } from 'vitest';
import { andd, atsr, dmar, drhd, rhsa, rmrr, satc, scope } from '../test/dmar-writer.js';
import { expectError, fixture } from '../test/fixture.js';
import { Q35 } from '../test/q35.js';
import { type DmarSurroundings, type PlatformNode, parseDmar, parseMcfg, platformFromDmar } from './index.js';

const mcfg = parseMcfg(fixture('mcfg-q35.aml'));

function kinds<K extends PlatformNode['kind']>(nodes: readonly PlatformNode[], kind: K) {
  return nodes.filter((node): node is Extract<PlatformNode, { kind: K }> => node.kind === kind);
}

const platformOf = (structures: readonly Uint8Array[], more: Partial<DmarSurroundings> = {}, flags = 1) =>
  platformFromDmar(parseDmar(dmar(structures, { flags })), { base: Q35, ...more });

/** `first-last unit` of the one root complex. */
const mapOf = (nodes: readonly PlatformNode[]) =>
  kinds(nodes, 'pci-host')[0].iommuMap.map(({ ridBase, streamBase, length, iommu }) => {
    expect(streamBase).toBe(ridBase);
    return `${ridBase.toString(16)}-${(ridBase + length - 1).toString(16)} ${iommu}`;
  });

const at = (device: number, fn = 0) => scope(1, 0, 0, [device, fn]);

describe('platformFromDmar', () => {
  it('describes the unit of a real machine and the functions behind it', () => {
    const { nodes, ...rest } = platformFromDmar(parseDmar(fixture('dmar.aml')), { base: Q35, mcfg });
    expect(rest).toEqual({
      source: 'acpi',
      model: 'BOCHS BXPC',
      cpus: 1,
      memory: Q35.memory,
      reserved: Q35.reserved,
    });
    expect(nodes[0]).toEqual({
      kind: 'iommu',
      name: 'dmar@fed90000',
      path: '/dmar@fed90000',
      compatible: ['intel,vtd'],
      base: 0xfed9_0000,
      bytes: 0x1000,
      interrupts: [
        { name: 'fault', type: 'line', number: 0, trigger: 'edge' },
        { name: 'invalidation', type: 'line', number: 1, trigger: 'edge' },
        { name: 'page-request', type: 'line', number: 2, trigger: 'edge' },
      ],
      coherent: true,
      properties: { 'host-address-width': 48, segment: 0 },
    });
    const [host] = kinds(nodes, 'pci-host');
    expect(host).toMatchObject({ ...mcfg[0], atsSupported: false, windows: [{ cpu: 0xc000_0000 }] });
    // 00.0, 02.0 to 06.0, the root ports 07.0 and 08.0, and the chip set's 1f.0, .2 and .3.
    expect(mapOf(nodes).map((text) => text.split('-')[0])).toEqual([
      '0',
      '10',
      '18',
      '20',
      '28',
      '30',
      '38',
      '40',
      'f8',
      'fa',
    ]);
    expect(nodes.map(({ kind }) => kind)).toEqual(['iommu', 'pci-host', 'interrupt-controller']);
  });

  it('finds the buses below bridges when it is told of them', () => {
    const bridges = [
      { segment: 0, bus: 0, device: 7, function: 0, buses: [1, 1] },
      { segment: 0, bus: 0, device: 8, function: 0, buses: [2, 4] },
      { segment: 0, bus: 2, device: 0, function: 0, buses: [3, 4] },
    ] as const;
    const { nodes } = platformFromDmar(parseDmar(fixture('dmar.aml')), { base: Q35, mcfg, bridges });
    expect(mapOf(nodes)).toEqual(
      expect.arrayContaining(['38-38 /dmar@fed90000', '40-40 /dmar@fed90000', '100-4ff /dmar@fed90000']),
    );
    const path = scope(1, 0, 0, [8, 0], [0, 0], [5, 1]);
    expect(mapOf(platformOf([drhd(0xfed9_0000, [path])], { bridges }).nodes)).toEqual(['329-329 /dmar@fed90000']);
    expect(mapOf(platformOf([drhd(0xfed9_0000, [path])]).nodes)).toEqual([]);
  });

  it('gives a unit for the whole segment what no other one names', () => {
    const { nodes } = platformOf([
      drhd(0xfed9_1000, [at(9)], { flags: 1 }),
      drhd(0xfed9_0000, [at(2), scope(3, 0, 0xf0, [31, 7])]),
    ]);
    expect(mapOf(nodes)).toEqual(['0-f /dmar@fed91000', '10-10 /dmar@fed90000', '11-ffff /dmar@fed91000']);
    expect(kinds(nodes, 'iommu').map(({ properties }) => properties['include-pci-all'])).toEqual([true, undefined]);
    expect(kinds(nodes, 'iommu')[1].interrupts.map(({ number }) => number)).toEqual([3, 4, 5]);
    expect(mapOf(platformOf([drhd(0x1_0000_0000, [], { flags: 1 })]).nodes)).toEqual(['0-ffff /dmar@100000000']);
  });

  it('says where ATS passes: by ATSR and SATC of the segment', () => {
    const ats = (...more: Uint8Array[]) =>
      kinds(platformOf([drhd(0xfed9_0000, [at(2)]), ...more]).nodes, 'pci-host')[0].atsSupported;
    expect([ats(), ats(atsr(0, 1)), ats(atsr(0, 0, scope(2, 0, 0, [7, 0]))), ats(satc(0, 0, at(2)))]).toEqual([
      false,
      true,
      true,
      true,
    ]);
    expect([ats(atsr(1, 1)), ats(atsr(0, 0)), ats(satc(1, 0, at(2)))]).toEqual([false, false, false]);
  });

  it('keeps RMRRs as reserved memory, and says proximity and register size', () => {
    const { reserved, nodes } = platformOf(
      [drhd(0xfed9_0000, [], { size: 1 }), rmrr(0x7b80_0000, 0x7b80_0fff), rhsa(0xfed9_0000, 3)],
      {},
      2,
    );
    expect(reserved).toEqual([...Q35.reserved, { base: 0x7b80_0000, bytes: 0x1000 }]);
    expect(kinds(nodes, 'iommu')[0]).toMatchObject({
      bytes: 0x2000,
      properties: { 'numa-node-id': 3, 'x2apic-opt-out': true },
    });
  });

  it('describes namespace devices by the requester ids that units give them', () => {
    const { nodes } = platformOf([
      drhd(0xfed9_0000, [scope(5, 1, 0xf0, [21, 0]), scope(5, 1, 0xf0, [21, 1])]),
      andd(1, '\\_SB.I2C0'),
      andd(2, '\\_SB.I2C1'),
    ]);
    expect(kinds(nodes, 'device')).toMatchObject([
      { name: 'I2C0', path: '\\_SB.I2C0', iommus: [{ iommu: '/dmar@fed90000', streams: [0xf0a8, 0xf0a9] }] },
    ]);
  });

  it('takes configuration spaces from the MCFG if there is one, else from the base', () => {
    const entry = { segment: 4, busRange: [8, 15], ecam: { base: 0x8_7000_0000, bytes: 0x80_0000 } } as const;
    const units = [drhd(0xfed9_0000, [], { segment: 4, flags: 1 })];
    const { nodes } = platformOf(units, { mcfg: [...mcfg, entry] });
    expect(kinds(nodes, 'pci-host')).toMatchObject([{ ...entry, path: '/pcie@870000000', windows: [] }]);
    expectError(() => platformOf(units, { mcfg }), 'ENOPROPERTY', 'DMAR unit of segment 4', 0x30);
    expectError(() => platformOf(units), 'ENOPROPERTY', 'DMAR unit of segment 4', 0x30);
  });

  it('refuses functions of two units, and units in the middle of something else', () => {
    const two = [drhd(0xfed9_0000, [at(2)]), drhd(0xfed9_1000, [at(2)])];
    expectError(() => platformOf(two), 'EOVERLAP', 'DMAR dmar@fed91000', 0x48);
    expectError(() => platformOf([drhd(0x20_0000)]), 'EOVERLAP', /dmar@200000/, null);
    expectError(
      () => platformOf([drhd(0xfed9_0000, [], { size: 1 }), drhd(0xfed9_1000)]),
      'EOVERLAP',
      /fed91000/,
      null,
    );
    expectError(
      () =>
        platformOf([drhd(0xfed9_0000, [scope(5, 1, 0, [0, 0]), scope(5, 2, 0, [1, 0])]), andd(1, 'A'), andd(2, 'A')]),
      'EDUPLICATE',
      'DMAR A',
      null,
    );
  });
});
