import { describe, expect, it } from 'vitest';
import { blob, node, type TestValue } from '../test/fdt-writer.js';
import { expectError, fixture } from '../test/fixture.js';
import type { DeviceTreeNode } from './devicetree.js';
import { iommuMap, iommuMapMask, iommus, msiMap, streamOf } from './iommu-map.js';
import { parseDevicetree } from './parse-devicetree.js';

const tree = (properties: Record<string, TestValue>) =>
  parseDevicetree(
    blob(
      node(
        '',
        {},
        node('a', { phandle: 0xa, '#iommu-cells': 1 }),
        node('b', { phandle: 0xb, '#iommu-cells': 1 }),
        node('c', { phandle: 0xc, '#iommu-cells': 0 }),
        node('d', { phandle: 0xd, '#iommu-cells': 2 }),
        node('none', { phandle: 0xe }),
        node('n', properties),
      ),
    ),
  );
const lookUp = (properties: Record<string, TestValue>, rid: number) => {
  const made = tree(properties);
  const found = streamOf(made, made.find('/n') as DeviceTreeNode, rid);
  return found && `${found.iommu.path} ${found.stream}`;
};
const fail = (words: TestValue, code: Parameters<typeof expectError>[1], extra: Record<string, TestValue> = {}) =>
  expectError(() => lookUp({ 'iommu-map': words, ...extra }, 0), code, '/n:iommu-map');

describe('streamOf', () => {
  it('maps every requester ID of a real tree to itself', () => {
    const virt = parseDevicetree(fixture('virt.dtb'));
    const host = virt.find('/pcie') as DeviceTreeNode;
    for (const rid of [0, 0x18, 0x0100, 0xffff]) {
      expect(streamOf(virt, host, rid)).toEqual({ iommu: virt.find('/smmuv3'), stream: rid });
    }
    expect(streamOf(virt, host, 0x10000)).toBeNull();
    expect(iommuMapMask(host)).toBe(0xffffffff);
    expect(msiMap(virt, host)).toEqual([
      { ridBase: 0, controller: virt.find('/intc/its'), idBase: 0, length: 0x10000 },
    ]);
  });

  it('adds the distance from rid-base to the stream base, and leaves gaps alone', () => {
    const map = [0x100, 0xa, 0x2000, 0x80, 0x200, 0xb, 0, 0x100];
    expect(lookUp({ 'iommu-map': map }, 0xff)).toBeNull();
    expect(lookUp({ 'iommu-map': map }, 0x100)).toBe('/a 8192');
    expect(lookUp({ 'iommu-map': map }, 0x17f)).toBe('/a 8319');
    expect(lookUp({ 'iommu-map': map }, 0x180)).toBeNull();
    expect(lookUp({ 'iommu-map': map }, 0x2ff)).toBe('/b 255');
    expect(lookUp({}, 0)).toBeNull();
  });

  it('masks the requester ID first', () => {
    const properties = { 'iommu-map': [0, 0xa, 0x40, 0x100], 'iommu-map-mask': 0xf8 };
    expect(lookUp(properties, 0x1213)).toBe('/a 80'); // 0x1213 & 0xf8 = 0x10
    const high = { 'iommu-map': [0x8000_0000, 0xa, 0, 1], 'iommu-map-mask': 0x8000_0000 };
    expect(lookUp(high, 0x8000_0001)).toBe('/a 0');
  });

  it('refuses references to nothing, to no IOMMU, and to streams of other widths', () => {
    fail([0, 0x99, 0, 1], 'ENOPHANDLE');
    fail([0, 0xe, 0, 1], 'ENOPHANDLE');
    fail([0, 0xc, 0, 1], 'ENOTSUP');
    fail([0, 0xd, 0, 1], 'ENOTSUP');
  });

  it('refuses entries that are cut, empty, too long, hidden by the mask, or overlap', () => {
    fail([0, 0xa, 0], 'EBADPROPERTY');
    fail([0, 0xa, 0, 0], 'EBADPROPERTY');
    fail([1, 0xa, 0, 0xffffffff + 1 - 1], 'EBADPROPERTY', { 'iommu-map-mask': 0 });
    fail([2, 0xa, 0, 0xffffffff], 'EBADPROPERTY');
    fail([0, 0xa, 2, 0xffffffff], 'EBADPROPERTY');
    fail([0x107, 0xa, 0, 1], 'EBADPROPERTY', { 'iommu-map-mask': 0xf8 });
    fail([0x10, 0xa, 0, 0x10, 0, 0xb, 0, 0x11], 'EOVERLAP');
    fail([0x10, 0xa, 0, 0x10, 0x10, 0xa, 0, 0x10], 'EOVERLAP');
  });

  it('reads entries in the order of the file', () => {
    const made = tree({ 'iommu-map': [0x10, 0xa, 0, 0x10, 0, 0xb, 7, 0x10] });
    expect(
      iommuMap(made, made.find('/n') as DeviceTreeNode).map((entry) => [
        entry.ridBase,
        entry.iommu.path,
        entry.streamBase,
      ]),
    ).toEqual([
      [0x10, '/a', 0],
      [0, '/b', 7],
    ]);
  });
});

describe('iommus', () => {
  const read = (words: TestValue) => {
    const made = tree({ iommus: words });
    return iommus(made, made.find('/n') as DeviceTreeNode).map(({ iommu, streams }) => [iommu.path, streams]);
  };

  it('collects the streams of each IOMMU', () => {
    expect(read([0xa, 5, 0xb, 6, 0xa, 7, 0xc])).toEqual([
      ['/a', [5, 7]],
      ['/b', [6]],
      ['/c', []],
    ]);
  });

  it('refuses references to nothing, to no IOMMU, incomplete ones, and streams of two cells', () => {
    expectError(() => read([0x99, 1]), 'ENOPHANDLE', '/n:iommus');
    expectError(() => read([0xe, 1]), 'ENOPHANDLE', '/n:iommus');
    expectError(() => read([0xa, 1, 0xb]), 'EBADPROPERTY', '/n:iommus');
    expectError(() => read([0xd, 1, 2]), 'ENOTSUP', '/n:iommus');
  });
});
