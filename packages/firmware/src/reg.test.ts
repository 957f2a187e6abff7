import { describe, expect, it } from 'vitest';
import { blob, node, type TestValue } from '../test/fdt-writer.js';
import { expectError, fixture } from '../test/fixture.js';
import { AddressSpace } from './address-space.js';
import type { DeviceTree, DeviceTreeNode } from './devicetree.js';
import { parseDevicetree } from './parse-devicetree.js';
import { cellsOf, reg } from './reg.js';

const at = (tree: DeviceTree, path: string): DeviceTreeNode => {
  const found = tree.find(path);
  if (found === null) throw new Error(`no ${path}`);
  return found;
};
const below = (parent: Record<string, TestValue>, value: TestValue) =>
  parseDevicetree(blob(node('', parent, node('n', { reg: value })))).nodes[1];

describe('reg', () => {
  it('reads the regions of a real tree', () => {
    const tree = parseDevicetree(fixture('virt.dtb'));
    expect(reg(at(tree, '/intc'))).toEqual([
      { base: 0x800_0000, bytes: 0x1_0000 },
      { base: 0x80a_0000, bytes: 0xf6_0000 },
    ]);
    expect(reg(at(tree, '/pcie'))).toEqual([{ base: 0x40_1000_0000, bytes: 0x1000_0000 }]);
    expect(reg(at(tree, '/cpus/cpu'))).toEqual([{ base: 0, bytes: 0 }]); // #size-cells 0
    expect(reg(at(tree, '/psci'))).toEqual([]);
    expect(reg(tree.root)).toEqual([]);
  });

  it('takes two address cells and one size cell where the parent does not say', () => {
    expect(below({}, [1, 2, 3]).path).toBe('/n');
    expect(reg(below({}, [1, 2, 3]))).toEqual([{ base: 0x1_0000_0002, bytes: 3 }]);
    expect(cellsOf(below({}, true))).toEqual({ address: 2, size: 1 });
  });

  it('honours the cells of the parent', () => {
    expect(reg(below({ '#address-cells': 1, '#size-cells': 1 }, [1, 2, 3, 4]))).toEqual([
      { base: 1, bytes: 2 },
      { base: 3, bytes: 4 },
    ]);
    expect(reg(below({ '#address-cells': 0, '#size-cells': 1 }, [5]))).toEqual([{ base: 0, bytes: 5 }]);
  });

  it('refuses a value that does not fit the cells', () => {
    expectError(() => reg(below({}, [1, 2])), 'EBADPROPERTY', '/n:reg');
    expectError(() => reg(below({ '#address-cells': 0, '#size-cells': 0 }, [1])), 'EBADPROPERTY', '/n:reg');
    expectError(() => reg(below({ '#address-cells': 5 }, [1])), 'EBADPROPERTY', '/:#address-cells');
    expectError(() => reg(below({ '#size-cells': [1, 1] }, [1])), 'EBADPROPERTY', '/:#size-cells');
    expectError(() => reg(below({ '#address-cells': 3, '#size-cells': 0 }, [1, 2, 3])), 'ENOTSUP', '/n:reg');
  });

  it('refuses regions that end above 2^53', () => {
    expect(reg(below({}, [0x1f_ffff, 0xffff_ffff, 1]))).toEqual([{ base: 2 ** 53 - 1, bytes: 1 }]);
    expectError(() => reg(below({}, [0x1f_ffff, 0xffff_ffff, 2])), 'ERANGE', '/n:reg');
    expectError(() => reg(below({}, [0xffff_ffff, 0, 1])), 'ERANGE', '/n:reg');
  });
});

describe('AddressSpace', () => {
  const ONE = { '#address-cells': 1, '#size-cells': 1 };
  const nested = (inner: Record<string, TestValue>, outer: Record<string, TestValue>, value: TestValue) =>
    parseDevicetree(
      blob(
        node('', ONE, node('soc', { ...ONE, ...outer }, node('bus', { ...ONE, ...inner }, node('n', { reg: value })))),
      ),
    );
  const regions = (tree: DeviceTree) => new AddressSpace().regions(at(tree, '/soc/bus/n'));

  it('translates through every bus on the way to the CPU', () => {
    const tree = nested({ ranges: [0x0, 0x1000, 0x100] }, { ranges: [0x1000, 0xa000_0000, 0x1000] }, [0x20, 0x10]);
    expect(regions(tree)).toEqual([{ base: 0xa000_0020, bytes: 0x10 }]);
  });

  it('takes an empty ranges for one to one', () => {
    expect(regions(nested({ ranges: true }, { ranges: true }, [0x20, 0x10]))).toEqual([{ base: 0x20, bytes: 0x10 }]);
  });

  it('finds the right one of several windows, in whatever order they are listed', () => {
    const ranges = [0x300, 0x9300, 0x100, 0x100, 0x7100, 0x100, 0x200, 0x8200, 0x100];
    const tree = nested({ ranges }, { ranges: true }, [0x100, 0x100, 0x2ff, 1, 0x300, 4]);
    expect(regions(tree).map((region) => region.base)).toEqual([0x7100, 0x82ff, 0x9300]);
  });

  it('translates a real ITS below its interrupt controller', () => {
    const tree = parseDevicetree(fixture('virt.dtb'));
    expect(new AddressSpace().regions(at(tree, '/intc/its'))).toEqual([{ base: 0x808_0000, bytes: 0x2_0000 }]);
  });

  it('refuses what no window holds entirely', () => {
    for (const value of [
      [0xff, 1],
      [0x1f0, 0x11],
      [0x200, 1],
    ]) {
      expectError(
        () => regions(nested({ ranges: [0x100, 0, 0x100] }, { ranges: true }, value)),
        'EBADPROPERTY',
        '/soc/bus:ranges',
      );
    }
  });

  it('refuses buses that are not memory-mapped, damaged windows and overlapping ones', () => {
    expectError(() => regions(nested({}, { ranges: true }, [0, 1])), 'ENOTSUP', '/soc/bus:ranges');
    expectError(() => regions(nested({ ranges: [1, 2] }, { ranges: true }, [0, 1])), 'EBADPROPERTY', '/soc/bus:ranges');
    expectError(
      () => regions(nested({ ranges: [0, 0, 0x10, 0xf, 0, 1] }, { ranges: true }, [0, 1])),
      'EOVERLAP',
      '/soc/bus:ranges',
    );
  });
});
