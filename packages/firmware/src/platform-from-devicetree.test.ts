import { describe, expect, it } from 'vitest';
import { blob, node, type TestNode, type TestValue } from '../test/fdt-writer.js';
import { expectError, fixture } from '../test/fixture.js';
import { parseDevicetree } from './parse-devicetree.js';
import type { PlatformDevice, PlatformIommu, PlatformPciHost } from './platform-description.js';
import { platformFromDevicetree } from './platform-from-devicetree.js';

const ROOT = { '#address-cells': 1, '#size-cells': 1, 'interrupt-parent': 1 };
const intc = node('intc@1000', {
  phandle: 1,
  reg: [0x1000, 0x1000],
  'interrupt-controller': true,
  '#interrupt-cells': 3,
});
const iommu = (extra: Record<string, TestValue> = {}, name = 'iommu@2000') =>
  node(name, { phandle: 2, compatible: 'acme,iommu', reg: [0x2000, 0x1000], '#iommu-cells': 1, ...extra });
const pcie = (extra: Record<string, TestValue> = {}, name = 'pcie') =>
  node(name, {
    device_type: 'pci',
    reg: [0x1000_0000, 0x100_0000],
    '#address-cells': 3,
    '#size-cells': 2,
    compatible: 'pci-host-ecam-generic',
    'iommu-map': [0, 2, 0, 0x10000],
    ...extra,
  });
const device = (extra: Record<string, TestValue> = {}) =>
  node('dma@3000', {
    compatible: ['acme,dma-2', 'acme,dma'],
    reg: [0x3000, 0x100, 0x4000, 0x200],
    iommus: [2, 0x11, 2, 0x12],
    ...extra,
  });
const platform = (...children: TestNode[]) =>
  platformFromDevicetree(parseDevicetree(blob(node('', ROOT, intc, ...children))));
const only = <T>(list: readonly T[]): T => {
  expect(list.length).toBe(1);
  return list[0];
};
const devices = (...children: TestNode[]) =>
  platform(...children).nodes.filter((each): each is PlatformDevice => each.kind === 'device');
const hosts = (...children: TestNode[]) =>
  platform(iommu(), ...children).nodes.filter((each): each is PlatformPciHost => each.kind === 'pci-host');

describe('platformFromDevicetree on a real tree', () => {
  it('describes the machine, number for number', () => {
    expect(platformFromDevicetree(parseDevicetree(fixture('virt.dtb')))).toEqual({
      source: 'devicetree',
      model: 'linux,dummy-virt',
      cpus: 1,
      memory: [{ base: 0x4000_0000, bytes: 0x1000_0000 }],
      reserved: [],
      nodes: [
        {
          kind: 'iommu',
          name: 'smmuv3@9050000',
          path: '/smmuv3@9050000',
          compatible: ['arm,smmu-v3'],
          base: 0x905_0000,
          bytes: 0x2_0000,
          interrupts: [
            { name: 'eventq', type: 'spi', number: 0x4a, trigger: 'edge' },
            { name: 'priq', type: 'spi', number: 0x4b, trigger: 'edge' },
            { name: 'cmdq-sync', type: 'spi', number: 0x4c, trigger: 'edge' },
            { name: 'gerror', type: 'spi', number: 0x4d, trigger: 'edge' },
          ],
          coherent: true,
          properties: { '#iommu-cells': 1, 'dma-coherent': true },
        },
        {
          kind: 'pci-host',
          name: 'pcie@10000000',
          path: '/pcie@10000000',
          compatible: ['pci-host-ecam-generic'],
          segment: 0,
          busRange: [0, 255],
          ecam: { base: 0x40_1000_0000, bytes: 0x1000_0000 },
          windows: [
            { cpu: 0x3eff_0000, pci: 0, bytes: 0x1_0000, space: 'io', prefetchable: false },
            { cpu: 0x1000_0000, pci: 0x1000_0000, bytes: 0x2eff_0000, space: 'mem32', prefetchable: false },
            { cpu: 0x80_0000_0000, pci: 0x80_0000_0000, bytes: 0x80_0000_0000, space: 'mem64', prefetchable: false },
          ],
          iommuMap: [{ ridBase: 0, iommu: '/smmuv3@9050000', streamBase: 0, length: 0x10000 }],
          iommuMapMask: 0xffffffff,
          atsSupported: false,
          coherent: true,
        },
        {
          kind: 'interrupt-controller',
          name: 'intc@8000000',
          path: '/intc@8000000',
          compatible: ['arm,gic-v3'],
          regions: [
            { base: 0x800_0000, bytes: 0x1_0000 },
            { base: 0x80a_0000, bytes: 0xf6_0000 },
          ],
        },
        {
          kind: 'msi-controller',
          name: 'its@8080000',
          path: '/intc@8000000/its@8080000',
          compatible: ['arm,gic-v3-its'],
          base: 0x808_0000,
          bytes: 0x2_0000,
        },
      ],
    });
  });

  it('keeps no reference to the file', () => {
    const bytes = fixture('virt.dtb');
    const before = platformFromDevicetree(parseDevicetree(bytes));
    bytes.fill(0);
    expect(platformFromDevicetree(parseDevicetree(fixture('virt.dtb')))).toEqual(before);
    expect(structuredClone(before)).toEqual(before);
  });

  it('finds neither memory nor devices in the small tree that UEFI makes', () => {
    expect(platformFromDevicetree(parseDevicetree(fixture('fdt.dtb')))).toEqual({
      source: 'devicetree',
      model: '',
      cpus: 0,
      memory: [],
      reserved: [],
      nodes: [],
    });
  });
});

describe('memory and CPUs', () => {
  const ram = (name: string, reg: number[], extra: Record<string, TestValue> = {}) =>
    node(name, { device_type: 'memory', reg, ...extra });

  it('sorts RAM, leaves out empty regions and disabled nodes', () => {
    const { memory } = platform(
      ram('memory@8', [0x8000_0000, 0x1000, 0x9000_0000, 0]),
      ram('memory@4', [0x4000_0000, 0x2000]),
      ram('memory@a', [0xa000_0000, 0x1000], { status: 'disabled' }),
    );
    expect(memory).toEqual([
      { base: 0x4000_0000, bytes: 0x2000 },
      { base: 0x8000_0000, bytes: 0x1000 },
    ]);
  });

  it('lets RAM regions touch', () => {
    expect(platform(ram('memory@0', [0, 0x100, 0x100, 0x100])).memory.length).toBe(2);
  });

  it('refuses RAM that overlaps RAM, an IOMMU or a configuration space', () => {
    expectError(
      () => platform(ram('memory@0', [0, 0x1001]), ram('memory@1', [0x1000, 0x1000])),
      'EOVERLAP',
      '/memory@1:reg',
    );
    expectError(() => platform(iommu(), ram('memory@0', [0, 0x2001])), 'EOVERLAP', '/iommu@2000:reg');
    expectError(() => platform(iommu(), pcie(), ram('memory@0', [0x1080_0000, 0x1000])), 'EOVERLAP', '/memory@0:reg');
  });

  it('collects what firmware reserves', () => {
    const tree = blob(
      node(
        '',
        ROOT,
        node(
          'reserved-memory',
          { '#address-cells': 1, '#size-cells': 1, ranges: true },
          node('a', { reg: [0x7000, 0x100] }),
          node('b', { size: 1 }),
        ),
      ),
      { reservations: [[0x5000n, 0x100n]] },
    );
    expect(platformFromDevicetree(parseDevicetree(tree)).reserved).toEqual([
      { base: 0x5000, bytes: 0x100 },
      { base: 0x7000, bytes: 0x100 },
    ]);
  });

  it('counts the CPUs that are not disabled', () => {
    const cpu = (name: string, extra: Record<string, TestValue> = {}) => node(name, { device_type: 'cpu', ...extra });
    expect(
      platform(node('cpus', {}, cpu('cpu@0'), cpu('cpu@1'), cpu('cpu@2', { status: 'fail' }), node('cpu-map'))).cpus,
    ).toBe(2);
  });
});

describe('IOMMUs', () => {
  it('are told by #iommu-cells alone, wherever they stand', () => {
    const nodes = platform(
      node('soc', { '#address-cells': 1, '#size-cells': 1, ranges: [0, 0x8000_0000, 0x1_0000] }, iommu()),
    ).nodes;
    expect(nodes.map((each) => each.path)).toEqual(['/intc@1000', '/soc/iommu@2000']);
    expect(nodes[1]).toMatchObject({ kind: 'iommu', compatible: ['acme,iommu'], base: 0x8000_2000, coherent: false });
  });

  it('keep their other properties by the looks of the values', () => {
    const extra: Record<string, TestValue> = {
      'acme,broken': true,
      'acme,name': 'x',
      'acme,names': ['x', 'y'],
      'acme,size': 7,
      'acme,list': [1, 2],
      'acme,raw': Uint8Array.of(1, 2, 3),
    };
    const found = platform(iommu({ ...extra, status: 'okay' })).nodes[1] as PlatformIommu;
    expect(found.properties).toEqual({
      '#iommu-cells': 1,
      'acme,broken': true,
      'acme,name': 'x',
      'acme,names': ['x', 'y'],
      'acme,size': 7,
      'acme,list': [1, 2],
    });
  });

  it('cannot smuggle in a prototype', () => {
    const root: TestNode = {
      name: '',
      properties: Object.entries(ROOT),
      children: [{ ...iommu(), properties: [...iommu().properties, ['__proto__', [1, 2]]] }],
    };
    const found = platformFromDevicetree(parseDevicetree(blob(root))).nodes[0] as PlatformIommu;
    expect(Object.getPrototypeOf(found.properties)).toBe(Object.prototype);
    expect(Object.keys(found.properties)).toContain('__proto__');
  });

  it('need a register window', () => {
    expectError(() => platform(node('i', { '#iommu-cells': 1 })), 'ENOPROPERTY', '/i:reg');
    expectError(() => platform(iommu({ reg: [0x2000, 0] })), 'EBADPROPERTY', '/iommu@2000:reg');
    expectError(
      () => platform(iommu(), iommu({ phandle: 3, reg: [0x2800, 0x1000] }, 'iommu@2800')),
      'EOVERLAP',
      '/iommu@2800:reg',
    );
  });

  it('are left out when they or a bus above are disabled', () => {
    expect(platform(iommu({ status: 'disabled' })).nodes.length).toBe(1);
    expect(platform(node('soc', { status: 'disabled' }, iommu({ reg: true }))).nodes.length).toBe(1);
  });
});

describe('PCI hosts', () => {
  it('carry ATS, coherence, the mask and the map', () => {
    const host = only(
      hosts(pcie({ 'ats-supported': true, 'dma-coherent': true, 'iommu-map-mask': 0xffff, 'linux,pci-domain': 3 })),
    );
    expect(host).toMatchObject({
      atsSupported: true,
      coherent: true,
      iommuMapMask: 0xffff,
      segment: 3,
      iommuMap: [{ ridBase: 0, iommu: '/iommu@2000', streamBase: 0, length: 0x10000 }],
    });
  });

  it('take coherence from a bus above, unless told otherwise', () => {
    const soc = (outer: Record<string, TestValue>, inner: Record<string, TestValue>) =>
      only(hosts(node('soc', { '#address-cells': 1, '#size-cells': 1, ranges: true, ...outer }, pcie(inner)))).coherent;
    expect(soc({ 'dma-coherent': true }, {})).toBe(true);
    expect(soc({ 'dma-coherent': true }, { 'dma-noncoherent': true })).toBe(false);
    expect(soc({}, {})).toBe(false);
  });

  it('have as many buses as the configuration space reaches', () => {
    expect(only(hosts(pcie())).busRange).toEqual([0, 15]); // 16 MiB
    expect(only(hosts(pcie({ 'bus-range': [4, 7] }))).busRange).toEqual([4, 7]);
    expect(only(hosts(pcie({ 'bus-range': [0xf8, 0xff] }))).busRange).toEqual([0xf8, 0xff]);
  });

  it('read prefetchable windows and translate them to CPU addresses', () => {
    const ranges = [0x4300_0000, 1, 0x8000_0000, 0x4000, 0, 0x1000, 0x0000_0000, 0, 0, 0x5000, 0, 0x10];
    const soc = node(
      'soc',
      { '#address-cells': 1, '#size-cells': 1, ranges: [0, 0x7000_0000, 0x2000_0000] },
      pcie({ ranges }),
    );
    expect(only(hosts(soc)).windows).toEqual([
      { cpu: 0x7000_4000, pci: 0x1_8000_0000, bytes: 0x1000, space: 'mem64', prefetchable: true },
      { cpu: 0x7000_5000, pci: 0, bytes: 0x10, space: 'config', prefetchable: false },
    ]);
    expect(only(hosts(pcie())).windows).toEqual([]);
  });

  it('without a number get the lowest free segment', () => {
    const list = hosts(
      pcie({}, 'p0'),
      pcie({ reg: [0x2000_0000, 0x100_0000], 'linux,pci-domain': 0 }, 'p1'),
      pcie({ reg: [0x3000_0000, 0x100_0000] }, 'p2'),
    );
    expect(list.map((host) => [host.name, host.segment])).toEqual([
      ['p0', 1],
      ['p1', 0],
      ['p2', 2],
    ]);
  });

  it('may share a segment but no bus', () => {
    const two = (second: number[]) =>
      hosts(
        pcie({ 'linux,pci-domain': 1, 'bus-range': [0, 7] }, 'p0'),
        pcie({ 'linux,pci-domain': 1, 'bus-range': second, reg: [0x2000_0000, 0x100_0000] }, 'p1'),
      );
    expect(two([8, 9]).length).toBe(2);
    expectError(() => two([7, 9]), 'EDUPLICATE', '/p1');
  });

  it('do not count bridges below them', () => {
    expect(hosts({ ...pcie(), children: [node('bridge@1', { device_type: 'pci' })] }).length).toBe(1);
  });

  it('drop references to a disabled IOMMU, and refuse one to a missing IOMMU', () => {
    const off = platform(iommu({ status: 'disabled' }), pcie()).nodes[1] as PlatformPciHost;
    expect(off.iommuMap).toEqual([]);
    expectError(() => platform(pcie()), 'ENOPHANDLE', '/pcie:iommu-map');
  });

  it('refuse damaged properties', () => {
    expectError(() => hosts(node('pcie', { device_type: 'pci' })), 'ENOPROPERTY', '/pcie:reg');
    expectError(() => hosts(pcie({ reg: [0x1000_0000, 0xf_ffff] })), 'EBADPROPERTY', '/pcie:reg');
    expectError(() => hosts(pcie({ 'bus-range': [0] })), 'EBADPROPERTY', '/pcie:bus-range');
    expectError(() => hosts(pcie({ 'bus-range': [3, 2] })), 'EBADPROPERTY', '/pcie:bus-range');
    expectError(() => hosts(pcie({ 'bus-range': [0, 256] })), 'EBADPROPERTY', '/pcie:bus-range');
    expectError(() => hosts(pcie({ 'linux,pci-domain': 0x1_0000 })), 'EBADPROPERTY', '/pcie:linux,pci-domain');
    expectError(() => hosts(pcie({ ranges: [1, 2, 3] })), 'EBADPROPERTY', '/pcie:ranges');
    expectError(() => hosts(pcie({ ranges: [1], '#address-cells': 2 })), 'EBADPROPERTY', '/pcie:#address-cells');
    expectError(() => hosts(pcie({ ranges: [0x0200_0000, 0xffff_ffff, 0, 0, 0, 1] })), 'ERANGE', '/pcie:ranges');
    expectError(() => hosts(pcie({ device_type: 7 })), 'EBADPROPERTY', '/pcie:device_type');
  });
});

describe('devices', () => {
  it('are listed when they have iommus', () => {
    const extra: Record<string, TestValue> = {
      interrupts: [0, 9, 4],
      'interrupt-names': 'done',
      'pasid-num-bits': 20,
      'dma-can-stall': true,
    };
    expect(only(devices(iommu(), device(extra), node('other@5000', { reg: [0x5000, 1] })))).toEqual({
      kind: 'device',
      name: 'dma@3000',
      path: '/dma@3000',
      compatible: ['acme,dma-2', 'acme,dma'],
      base: 0x3000,
      bytes: 0x100,
      regions: [
        { base: 0x3000, bytes: 0x100 },
        { base: 0x4000, bytes: 0x200 },
      ],
      interrupts: [{ name: 'done', type: 'spi', number: 9, trigger: 'level' }],
      iommus: [{ iommu: '/iommu@2000', streams: [0x11, 0x12] }],
      pasidBits: 20,
      canStall: true,
      coherent: false,
      properties: { 'pasid-num-bits': 20, 'dma-can-stall': true },
    });
  });

  it('default to no PASIDs, no stalls and no window', () => {
    expect(only(devices(iommu(), node('d', { iommus: [2, 1] })))).toMatchObject({
      base: 0,
      bytes: 0,
      regions: [],
      pasidBits: 0,
      canStall: false,
    });
  });

  it('refuse PASIDs of more than 20 bits', () => {
    expectError(() => devices(iommu(), device({ 'pasid-num-bits': 21 })), 'EBADPROPERTY', '/dma@3000:pasid-num-bits');
  });

  it('lose a disabled IOMMU and refuse a missing one', () => {
    expect(only(devices(iommu({ status: 'disabled' }), device())).iommus).toEqual([]);
    expectError(() => devices(device()), 'ENOPHANDLE', '/dma@3000:iommus');
  });
});

describe('interrupt and MSI controllers', () => {
  it('that no CPU address leads to are left out', () => {
    const expander = node('gpio@20', { reg: [0x20], 'interrupt-controller': true });
    expect(platform(node('i2c', { '#address-cells': 1, '#size-cells': 0 }, expander)).nodes.length).toBe(1);
  });

  it('need a window when they take messages', () => {
    expectError(() => platform(node('its', { 'msi-controller': true })), 'ENOPROPERTY', '/its:reg');
  });
});
