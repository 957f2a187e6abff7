import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blob, node, type TestNode } from '../test/fdt-writer.js';
import type { DeviceTreeNode } from './devicetree.js';
import { isFirmwareError } from './firmware-error.js';
import { parseDevicetree } from './parse-devicetree.js';
import { platformFromDevicetree } from './platform-from-devicetree.js';

const NAME = fc.stringMatching(/^[a-z0-9,._+@#-]{1,31}$/).filter((name) => !name.includes('phandle'));
const PROPERTIES = fc.dictionary(NAME, fc.uint8Array({ maxLength: 40 }), { maxKeys: 40 });
const treeOf = (depth: number): fc.Arbitrary<TestNode> =>
  fc
    .record({
      properties: PROPERTIES,
      children:
        depth === 0
          ? fc.constant<Record<string, TestNode>>({})
          : fc.dictionary(NAME, treeOf(depth - 1), { maxKeys: 4 }),
    })
    .map(({ properties, children }) =>
      node('', properties, ...Object.entries(children).map(([name, child]) => ({ ...child, name }))),
    );
const TREE = treeOf(3);

/** The tree in a form that both sides have. */
type Shape = [string, [string, number[]][], Shape[]];
const written = (at: TestNode): Shape => [
  at.name,
  at.properties.map(([name, value]) => [name, [...(value as Uint8Array)]]),
  at.children.map(written),
];
const read = (at: DeviceTreeNode): Shape => [
  at.name,
  Array.from(at.properties, ([name, value]) => [name, [...value]]),
  at.children.map(read),
];

describe('parseDevicetree', () => {
  it('reads what was written, in both versions, with and without FDT_NOP', () => {
    fc.assert(
      fc.property(TREE, fc.constantFrom(16 as const, 17 as const), fc.boolean(), (root, version, nops) => {
        const tree = parseDevicetree(blob(root, { version, nops }));
        expect(read(tree.root)).toEqual(written(root));
        for (const each of tree.nodes) expect(tree.find(each.path)).toBe(each);
      }),
      { seed: 5, numRuns: 300 },
    );
  });

  it('describes any well-formed tree or says with a FirmwareError why not', () => {
    fc.assert(
      fc.property(TREE, (root) => {
        try {
          platformFromDevicetree(parseDevicetree(blob(root)));
        } catch (error) {
          expect(isFirmwareError(error)).toBe(true);
        }
      }),
      { seed: 6, numRuns: 300 },
    );
  });

  it('raises nothing but a FirmwareError for random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          parseDevicetree(bytes);
        } catch (error) {
          expect(isFirmwareError(error)).toBe(true);
        }
      }),
      { seed: 7, numRuns: 1000 },
    );
  });
});
