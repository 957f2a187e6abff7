import { describe, expect, it } from 'vitest';
import { blob, node, type TestNode, type TestValue } from '../test/fdt-writer.js';
import { expectError, fixture } from '../test/fixture.js';
import type { DeviceTreeNode } from './devicetree.js';
import { interruptParent, interrupts } from './interrupts.js';
import { parseDevicetree } from './parse-devicetree.js';

const controller = (cells: number, extra: Record<string, TestValue> = {}): TestNode =>
  node('intc', { phandle: 1, 'interrupt-controller': true, '#interrupt-cells': cells, ...extra });

const of = (cells: number, properties: Record<string, TestValue>, extra?: Record<string, TestValue>) => {
  const tree = parseDevicetree(
    blob(node('', { 'interrupt-parent': 1 }, controller(cells, extra), node('n', properties))),
  );
  return interrupts(tree, tree.find('/n') as DeviceTreeNode);
};

describe('interrupts', () => {
  const virt = parseDevicetree(fixture('virt.dtb'));

  it('reads the four lines of a real SMMU, edge-triggered', () => {
    expect(interrupts(virt, virt.find('/smmuv3') as DeviceTreeNode)).toEqual([
      { name: 'eventq', type: 'spi', number: 74, trigger: 'edge' },
      { name: 'priq', type: 'spi', number: 75, trigger: 'edge' },
      { name: 'cmdq-sync', type: 'spi', number: 76, trigger: 'edge' },
      { name: 'gerror', type: 'spi', number: 77, trigger: 'edge' },
    ]);
  });

  it('reads level-triggered and per-CPU lines without names', () => {
    expect(interrupts(virt, virt.find('/pl011') as DeviceTreeNode)).toEqual([
      { name: '', type: 'spi', number: 1, trigger: 'level' },
    ]);
    expect(interrupts(virt, virt.find('/timer') as DeviceTreeNode).map((each) => [each.type, each.number])).toEqual([
      ['ppi', 13],
      ['ppi', 14],
      ['ppi', 11],
      ['ppi', 10],
    ]);
    expect(interrupts(virt, virt.find('/psci') as DeviceTreeNode)).toEqual([]);
  });

  it('reads extended types, a fourth cell, and controllers of one and two cells', () => {
    expect(of(3, { interrupts: [2, 5, 4] })[0].type).toBe('espi');
    expect(of(4, { interrupts: [3, 5, 1, 99] })).toEqual([{ name: '', type: 'eppi', number: 5, trigger: 'edge' }]);
    expect(of(1, { interrupts: [5, 6] })).toEqual([
      { name: '', type: 'line', number: 5, trigger: 'level' },
      { name: '', type: 'line', number: 6, trigger: 'level' },
    ]);
    expect(of(2, { interrupts: [5, 2] })).toEqual([{ name: '', type: 'line', number: 5, trigger: 'edge' }]);
  });

  it('prefers interrupts-extended, which names a controller per line', () => {
    const list = of(3, { interrupts: [0, 9, 4], 'interrupts-extended': [1, 0, 7, 1], 'interrupt-names': ['combined'] });
    expect(list).toEqual([{ name: 'combined', type: 'spi', number: 7, trigger: 'edge' }]);
  });

  it('takes the nearest ancestor that names or is a controller', () => {
    const tree = parseDevicetree(
      blob(
        node(
          '',
          { 'interrupt-parent': 1 },
          controller(3),
          node('soc', { 'interrupt-parent': 2 }, node('a', { interrupts: [4] })),
          node(
            'gpio',
            { phandle: 2, 'interrupt-controller': true, '#interrupt-cells': 1 },
            node('b', { interrupts: [4] }),
          ),
          node('c', { 'interrupt-parent': 2 }),
        ),
      ),
    );
    const parentOf = (path: string) => interruptParent(tree, tree.find(path) as DeviceTreeNode).path;
    expect(parentOf('/soc/a')).toBe('/gpio');
    expect(parentOf('/gpio/b')).toBe('/gpio');
    expect(parentOf('/gpio')).toBe('/intc');
    expect(parentOf('/c')).toBe('/gpio');
  });

  it('refuses incomplete lists, unknown types and flags that contradict themselves', () => {
    expectError(() => of(3, { interrupts: [0, 1] }), 'EBADPROPERTY', '/n:interrupts');
    expectError(() => of(0, { interrupts: [0, 1] }), 'EBADPROPERTY', '/n:interrupts');
    expectError(() => of(3, { interrupts: [4, 1, 1] }), 'EBADPROPERTY', '/n:interrupts');
    expectError(() => of(3, { interrupts: [0, 1, 5] }), 'EBADPROPERTY', '/n:interrupts');
    expectError(() => of(3, { 'interrupts-extended': [1, 0, 7] }), 'EBADPROPERTY', '/n:interrupts-extended');
    expectError(() => of(0xffffffff, { 'interrupts-extended': [1, 0, 7] }), 'EBADPROPERTY', '/n:interrupts-extended');
  });

  it('refuses parents that are missing or no controller, and interrupt maps', () => {
    expectError(() => of(3, { interrupts: [0, 1, 4], 'interrupt-parent': 9 }), 'ENOPHANDLE', '/n:interrupt-parent');
    expectError(
      () => of(3, { interrupts: [0, 1, 4], 'interrupt-parent': 2, phandle: 2 }),
      'ENOPHANDLE',
      '/n:interrupts',
    );
    expectError(() => of(5, { interrupts: [0, 1, 4, 0, 0] }), 'ENOTSUP', '/n:interrupts');
    const lost = parseDevicetree(blob(node('', {}, node('n', { interrupts: [1] }))));
    expectError(() => interrupts(lost, lost.nodes[1]), 'ENOPROPERTY', '/n:interrupt-parent');
    const nexus = parseDevicetree(
      blob(node('', {}, node('pci', { '#interrupt-cells': 1, 'interrupt-map': [1] }, node('n', { interrupts: [1] })))),
    );
    expectError(() => interrupts(nexus, nexus.nodes[2]), 'ENOTSUP', '/pci/n:interrupts');
  });
});
