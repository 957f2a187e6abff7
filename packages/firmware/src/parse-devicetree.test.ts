import { describe, expect, it } from 'vitest';
import { blob, node, patched } from '../test/fdt-writer.js';
import { expectError, fixture } from '../test/fixture.js';
import { parseDevicetree } from './parse-devicetree.js';

// Offsets in a blob without reservations: header 40, reservations 16, so the structure block starts at 56 with
// FDT_BEGIN_NODE (56), the root's empty name (60), and the first token of the root (64).
const EMPTY = blob(node(''));
const ONE = blob(node('', { model: 'm' })); // FDT_PROP at 64, length 68, name 72, value 76, FDT_END_NODE 80, FDT_END 84

describe('parseDevicetree on a real tree', () => {
  const tree = parseDevicetree(fixture('virt.dtb'));

  it('finds the 55 nodes in the order of the file', () => {
    expect(tree.nodes.length).toBe(55);
    expect(tree.nodes.slice(0, 4).map((each) => each.path)).toEqual([
      '/',
      '/psci',
      '/memory@40000000',
      '/platform-bus@c000000',
    ]);
    expect(tree.nodes.at(-1)?.path).toBe('/chosen');
  });

  it('reads the header', () => {
    expect(tree.version).toBe(17);
    expect(tree.bootCpu).toBe(0);
    expect(tree.reservations).toEqual([]);
  });

  it('gives every property as bytes', () => {
    const smmu = tree.find('/smmuv3@9050000');
    expect([...(smmu?.properties.keys() ?? [])]).toEqual([
      'phandle',
      '#iommu-cells',
      'dma-coherent',
      'interrupt-names',
      'interrupts',
      'reg',
      'compatible',
    ]);
    expect([...(smmu?.value('phandle') ?? [])]).toEqual([0, 0, 0x80, 0x04]);
    expect(smmu?.value('dma-coherent')).toEqual(new Uint8Array(0));
    expect(smmu?.value('status')).toBeNull();
  });

  it('knows the nesting', () => {
    const core = tree.find('/cpus/cpu-map/socket0/cluster0/core0');
    expect(core?.name).toBe('core0');
    expect(core?.parent?.parent?.path).toBe('/cpus/cpu-map/socket0');
    expect(tree.find('/intc@8000000')?.children.map((child) => child.name)).toEqual(['its@8080000']);
    expect(tree.root.parent).toBeNull();
    expect(tree.root.children.length).toBe(48);
  });

  it('finds nodes by phandle, by alias and without the unit address', () => {
    expect(tree.byPhandle(0x8003)?.path).toBe('/intc@8000000/its@8080000');
    expect(tree.byPhandle(0x8005)).toBeNull();
    expect(tree.find('serial0')?.path).toBe('/pl011@9000000');
    expect(tree.find('/pcie')?.path).toBe('/pcie@10000000');
    expect(tree.find('/intc/its')?.path).toBe('/intc@8000000/its@8080000');
    expect(tree.find('/virtio_mmio')).toBeNull(); // 32 of them
    expect(tree.find('/no/such/node')).toBeNull();
    expect(tree.find('nobody')).toBeNull();
    expect(tree.find('/')).toBe(tree.root);
    expect([...tree.aliases()]).toEqual([['serial0', '/pl011@9000000']]);
  });

  it('reads the small tree that UEFI makes', () => {
    const small = parseDevicetree(fixture('fdt.dtb'));
    expect(small.nodes.map((each) => each.path)).toEqual(['/', '/chosen']);
    expect(small.root.properties.size).toBe(2);
  });

  it('says where a property lies in the file', () => {
    const bytes = fixture('virt.dtb');
    const offset = tree.find('/pcie')?.offsetOf('bus-range') ?? 0;
    expect([...bytes.subarray(offset, offset + 8)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0xff]);
  });
});

describe('parseDevicetree on trees made by hand', () => {
  it('reads version 16, which does not give the size of the structure block', () => {
    const tree = parseDevicetree(blob(node('', { model: 'm' }, node('a')), { version: 16 }));
    expect(tree.version).toBe(16);
    expect(tree.find('/a')?.name).toBe('a');
  });

  it('skips FDT_NOP between tokens', () => {
    const tree = parseDevicetree(blob(node('', { model: 'm' }, node('a', { b: 1 })), { nops: true }));
    expect([...(tree.find('/a')?.value('b') ?? [])]).toEqual([0, 0, 0, 1]);
  });

  it('reads reservations up to the pair of zeros', () => {
    const reservations = [
      [0x8000_0000n, 0x1000n],
      [0x1_0000_0000n, 0x20_0000n],
    ] as const;
    expect(parseDevicetree(blob(node(''), { reservations, bootCpu: 3 }))).toMatchObject({
      bootCpu: 3,
      reservations: [
        { base: 0x8000_0000, bytes: 0x1000 },
        { base: 0x1_0000_0000, bytes: 0x20_0000 },
      ],
    });
  });

  it('reads a tree that is a part of a larger buffer', () => {
    const outer = new Uint8Array(ONE.length + 200).fill(0xa5);
    outer.set(ONE, 100);
    expect([...(parseDevicetree(outer.subarray(100)).root.value('model') ?? [])]).toEqual([0x6d, 0]);
  });

  it('keeps many properties of one node apart', () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`p${i}`, i]));
    const { root } = parseDevicetree(blob(node('', many)));
    expect([...(root.value('p77') ?? [])]).toEqual([0, 0, 0, 77]);
    expect(root.has('p100')).toBe(false);
    expect(root.properties.size).toBe(100);
  });
});

describe('parseDevicetree refuses', () => {
  const refuse = (bytes: Uint8Array, ...expected: [Parameters<typeof expectError>[1], string | RegExp, number?]) =>
    expectError(() => parseDevicetree(bytes), expected[0], expected[1], expected[2]);

  it('what is no devicetree, and says what it looks like', () => {
    refuse(new Uint8Array(100), 'EBADMAGIC', 'header.magic', 0);
    for (const [magic, hint] of [
      [0xfd377a58, 'xz'],
      [0x1f8b0800, 'gzip'],
      [0x28b52ffd, 'zstd'],
      [0x2f647473, 'dtc'],
      [0xedfe0dd0, 'swapped'],
    ] as const) {
      expect(() => parseDevicetree(patched(EMPTY, 0, magic))).toThrow(hint);
    }
  });

  it('a file that is cut short', () => {
    refuse(new Uint8Array(0), 'ETRUNCATED', 'header', 0);
    refuse(EMPTY.subarray(0, 39), 'ETRUNCATED', 'header', 39);
    refuse(EMPTY.subarray(0, EMPTY.length - 1), 'ETRUNCATED', 'header.totalsize', 4);
    refuse(patched(EMPTY, 4, 0xffffffff), 'ETRUNCATED', 'header.totalsize', 4);
  });

  it('versions it does not know', () => {
    refuse(patched(EMPTY, 20, 3), 'EBADVERSION', 'header.version', 20);
    refuse(patched(patched(EMPTY, 20, 18), 24, 18), 'EBADVERSION', 'header.version', 20);
    expect(parseDevicetree(patched(EMPTY, 20, 18)).version).toBe(18); // readable as 16
  });

  it('blocks that do not fit, with the header field', () => {
    refuse(patched(EMPTY, 4, 39), 'EBADHEADER', 'header.totalsize', 4);
    refuse(patched(EMPTY, 8, 58), 'EBADHEADER', 'header.off_dt_struct', 8);
    refuse(patched(EMPTY, 8, 36), 'EBADHEADER', 'header.off_dt_struct', 8);
    refuse(patched(EMPTY, 8, 0xfffffffc), 'EBADHEADER', 'header.off_dt_struct', 8);
    refuse(patched(EMPTY, 36, 0xffffffff), 'EBADHEADER', 'header.off_dt_struct', 8);
    refuse(patched(EMPTY, 12, 0), 'EBADHEADER', 'header.off_dt_strings', 12);
    refuse(patched(EMPTY, 32, 0xffffffff), 'EBADHEADER', 'header.off_dt_strings', 12);
    refuse(patched(patched(EMPTY, 12, 60), 32, 4), 'EBADHEADER', 'header.off_dt_strings', 12);
    refuse(patched(EMPTY, 16, 44), 'EBADHEADER', 'header.off_mem_rsvmap', 16);
    refuse(patched(EMPTY, 16, 0xfffffff8), 'EBADHEADER', 'header.off_mem_rsvmap', 16);
  });

  it('reservations without an end, and behind 2^53', () => {
    const bytes = blob(node('', { a: [1, 1, 1, 1, 1, 1, 1, 1, 1] }));
    refuse(patched(bytes, 16, 88), 'EBADHEADER', 'memory reservations', 88); // words of 1, then the tokens
    refuse(blob(node(''), { reservations: [[0x1n, 0x20_0000_0000_0000n]] }), 'ERANGE', 'memory reservations', 40);
  });

  it('damaged structure, with the offset of the token', () => {
    refuse(patched(EMPTY, 64, 7), 'EBADSTRUCT', '/', 64); // not a token
    refuse(patched(EMPTY, 64, 9), 'EBADSTRUCT', '/', 64); // FDT_END in a node
    refuse(patched(EMPTY, 68, 2), 'EBADSTRUCT', 'structure block', 68); // FDT_END_NODE without a node
    refuse(patched(EMPTY, 68, 4), 'EBADSTRUCT', 'structure block', 72); // no FDT_END
    refuse(patched(EMPTY, 56, 9), 'EBADSTRUCT', 'structure block', 56); // no root
    refuse(patched(ONE, 56, 3), 'EBADSTRUCT', 'structure block', 56); // a property outside of every node
    refuse(patched(ONE, 68, 0x7fffffff), 'EBADSTRUCT', '/', 68); // value leaves the block
    refuse(patched(ONE, 72, 6), 'EBADSTRUCT', '/', 72); // name behind the strings block
    refuse(patched(ONE, 80, 3), 'EBADSTRUCT', '/', 80); // a property header leaves the block
    const two = blob(node('', {}, node('', {}))); // a second empty name: as a child it has no name
    refuse(two, 'EBADNAME', '/', 68);
    refuse(patched(patched(two, 64, 2), 76, 4), 'EBADSTRUCT', 'structure block', 68);
  });

  it('a second root', () => {
    // BEGIN "" END BEGIN "" END END_OF_TREE: the child of `two` closed one token early.
    const two = blob(node('', { a: 1 }, node('')));
    const words = [1, 0, 2, 1, 0, 2, 9];
    const bytes = words.reduce((all, value, i) => patched(all, 56 + 4 * i, value), two);
    refuse(bytes, 'EBADSTRUCT', 'structure block', 68);
  });

  it('a property behind a child', () => {
    // root { a = <1>; b {} } is BEGIN "" PROP 4 0 1 BEGIN "b" END END END; moved by hand: BEGIN "" BEGIN "b" END PROP
    // 4 0 1 END END
    const words = [1, 0, 1, 0x62000000, 2, 3, 4, 0, 1, 2, 9];
    const bytes = words.reduce((all, value, i) => patched(all, 56 + 4 * i, value), blob(node('', { a: 1 }, node('b'))));
    refuse(bytes, 'EBADSTRUCT', '/', 76);
  });

  it('bad names', () => {
    refuse(blob(node('root')), 'EBADNAME', 'structure block', 60);
    refuse(blob(node('', {}, node('a/b'))), 'EBADNAME', '/');
    refuse(blob(node('', {}, node('a b'))), 'EBADNAME', '/');
    refuse(blob(node('', {}, node('x'.repeat(256)))), 'EBADNAME', '/');
    expect(parseDevicetree(blob(node('', {}, node('x'.repeat(255))))).nodes[1].name.length).toBe(255);
    refuse(blob(node('', { 'a\n': 1 })), 'EBADNAME', '/');
    refuse(blob(node('', { '': 1 })), 'EBADNAME', '/');
    refuse(blob(node('', { ['p'.repeat(256)]: 1 })), 'EBADNAME', '/');
    refuse(
      ONE.map((byte, i) => (i === ONE.length - 1 ? 0x6d : byte)),
      'EBADNAME',
      '/',
      ONE.length - 6,
    ); // strings without a NUL
    refuse(patched(patched(EMPTY, 60, 0x61616161), 64, 0x61616161), 'EBADNAME', 'structure block', 60);
  });

  it('nesting deeper than 64', () => {
    const nested = (depth: number): ReturnType<typeof node> =>
      depth === 0 ? node('n') : node('n', {}, nested(depth - 1));
    expect(parseDevicetree(blob(node('', {}, nested(63)))).nodes.length).toBe(65);
    refuse(blob(node('', {}, nested(64))), 'EDEPTH', /^(\/n){64}$/);
  });

  it('what is there twice', () => {
    refuse(blob(node('', {}, node('a'), node('b'), node('a'))), 'EDUPLICATE', '/');
    const twice = (count: number) => ({
      name: '',
      properties: [...Array.from({ length: count }, (_, i) => [`p${i}`, 1] as const), ['p0', 2] as const],
      children: [],
    });
    refuse(blob(twice(2)), 'EDUPLICATE', '/');
    refuse(blob(twice(40)), 'EDUPLICATE', '/');
    refuse(blob(node('', {}, node('a', { phandle: 5 }), node('b', { phandle: 5 }))), 'EDUPLICATE', '/b:phandle');
    refuse(
      blob(node('', {}, node('a', { phandle: 5 }), node('b', { 'linux,phandle': 5 }))),
      'EDUPLICATE',
      '/b:linux,phandle',
    );
    expect(parseDevicetree(blob(node('', {}, node('a', { phandle: 5, 'linux,phandle': 5 })))).byPhandle(5)?.path).toBe(
      '/a',
    );
  });

  it('phandles that are none', () => {
    for (const value of [0, 0xffffffff, [1, 2], true] as const) {
      refuse(blob(node('', {}, node('a', { phandle: value }))), 'EBADPROPERTY', '/a:phandle');
    }
  });
});

describe('parseDevicetree is bounded by the size of its input', () => {
  it('decodes a name that 100,000 properties share once', () => {
    const name = 'n'.repeat(250);
    const children = Array.from({ length: 50_000 }, (_, i) => node(`c${i}`, { [name]: true }));
    const tree = parseDevicetree(blob(node('', {}, ...children)));
    expect(tree.nodes.length).toBe(50_001);
    expect(tree.nodes[50_000].properties.has(name)).toBe(true);
  });

  it('does not read a strings block of one endless name for every property', () => {
    const bytes = blob(node('', { ['p'.repeat(100_000)]: 1 }));
    expectError(() => parseDevicetree(bytes), 'EBADNAME', '/');
  });
});
