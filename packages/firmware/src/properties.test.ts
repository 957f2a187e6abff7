import { describe, expect, it } from 'vitest';
import { blob, node, type TestValue } from '../test/fdt-writer.js';
import { expectError, fixture } from '../test/fixture.js';
import type { DeviceTreeNode } from './devicetree.js';
import { parseDevicetree } from './parse-devicetree.js';
import { compatible, compatibles, enabled, string, strings, u32, u32s, u64 } from './properties.js';

const one = (value: TestValue): DeviceTreeNode => parseDevicetree(blob(node('', {}, node('n', { p: value })))).nodes[1];

describe('typed readers of properties', () => {
  it('read words, numbers and texts', () => {
    expect(u32(one(0xdeadbeef), 'p')).toBe(0xdeadbeef);
    expect(u32s(one([1, 0xffffffff]), 'p')).toEqual([1, 0xffffffff]);
    expect(u32s(one(true), 'p')).toEqual([]);
    expect(u64(one([0x40, 0x1000_0000]), 'p')).toBe(0x40_1000_0000);
    expect(string(one('arm,smmu-v3'), 'p')).toBe('arm,smmu-v3');
    expect(strings(one(['a', '', 'b']), 'p')).toEqual(['a', '', 'b']);
  });

  it('read 64-bit numbers up to 2^53 and refuse larger ones instead of rounding them', () => {
    expect(u64(one([0x20_0000, 0]), 'p')).toBe(2 ** 53);
    expectError(() => u64(one([0x20_0000, 1]), 'p'), 'ERANGE', '/n:p');
    expect(() => u64(one([0xffff_0000, 0x10]), 'p')).toThrow('0xffff000000000010');
  });

  it('fall back only when the property is missing', () => {
    expect(u32(one(7), 'q', 9)).toBe(9);
    expect(u32(one(7), 'p', 9)).toBe(7);
    expect(u64(one(7), 'q', 9)).toBe(9);
    expect(string(one(7), 'q', 'x')).toBe('x');
    expectError(() => u32(one([7, 8]), 'p', 9), 'EBADPROPERTY', '/n:p');
  });

  it('name the node and the property that is missing', () => {
    for (const read of [u32, u32s, u64, string, strings]) {
      expectError(() => read(one(1), 'q'), 'ENOPROPERTY', '/n:q');
    }
  });

  it('refuse values of the wrong length, with the offset of the value', () => {
    // header 40, reservations 16, root 8, node token and name 8, property header 12
    expectError(() => u32(one([1, 2]), 'p'), 'EBADPROPERTY', '/n:p', 84);
    expectError(() => u32s(one(Uint8Array.of(1, 2, 3)), 'p'), 'EBADPROPERTY', '/n:p', 84);
    expectError(() => u64(one(1), 'p'), 'EBADPROPERTY', '/n:p', 84);
    expectError(() => string(one(['a', 'b']), 'p'), 'EBADPROPERTY', '/n:p');
  });

  it('refuse texts without an end and with unprintable bytes', () => {
    expectError(() => strings(one(Uint8Array.of(0x61, 0x62)), 'p'), 'EBADPROPERTY', '/n:p');
    expectError(() => strings(one(Uint8Array.of(0x61, 0x01, 0x00)), 'p'), 'EBADPROPERTY', '/n:p');
    expectError(() => strings(one(Uint8Array.of(0xc3, 0xa4, 0x00)), 'p'), 'EBADPROPERTY', '/n:p');
  });

  it('know what a node is compatible with', () => {
    const tree = parseDevicetree(fixture('virt.dtb'));
    const uart = tree.find('/pl011');
    if (uart === null) throw new Error('no uart');
    expect(compatibles(uart)).toEqual(['arm,pl011', 'arm,primecell']);
    expect(compatible(uart, 'arm,primecell')).toBe(true);
    expect(compatible(uart, 'arm,pl01')).toBe(false);
    expect(compatibles(tree.nodes.find((each) => each.name === 'chosen') ?? uart)).toEqual([]);
  });

  it('tell an enabled node by its status', () => {
    const of = (status: TestValue) => parseDevicetree(blob(node('', { status }))).root;
    expect(enabled(parseDevicetree(blob(node(''))).root)).toBe(true);
    expect(enabled(of('okay'))).toBe(true);
    expect(enabled(of('ok'))).toBe(true);
    expect(enabled(of('disabled'))).toBe(false);
    expect(enabled(of('fail-sss'))).toBe(false);
    expectError(() => enabled(of(7)), 'EBADPROPERTY', '/:status');
  });

  it('refuse aliases that are no text', () => {
    const tree = parseDevicetree(blob(node('', {}, node('aliases', { phandle: 3, a: '/b', b: 1 }))));
    expectError(() => tree.aliases(), 'EBADPROPERTY', '/aliases:b');
    expectError(() => tree.find('a'), 'EBADPROPERTY', '/aliases:b');
  });

  it('follow an alias and the path behind it, but no alias of an alias', () => {
    const bus = node('bus', {}, node('uart@1'));
    const tree = parseDevicetree(blob(node('', {}, bus, node('aliases', { b: '/bus', c: 'b', phandle: 3 }))));
    expect(tree.find('b/uart')?.path).toBe('/bus/uart@1');
    expect(tree.find('c')).toBeNull();
  });
});
