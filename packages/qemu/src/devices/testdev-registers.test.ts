import { describe, expect, it } from 'vitest';
import * as testdev from './testdev-registers.js';

/** Name, offset and bytes of each register that a module declares, by offset. */
const table = (module: object) =>
  Object.values(module)
    .filter((value): value is { name: string; offset: number; bytes: number } => {
      return typeof value === 'object' && value !== null && 'offset' in value;
    })
    .map(({ name, offset, bytes }) => [name, offset, bytes] as const)
    .sort((a, b) => a[1] - b[1]);

describe('the registers of iommu-testdev', () => {
  it("lie where QEMU's specification puts them", () => {
    expect(table(testdev)).toEqual([
      ['TRIGGER', 0x00, 4],
      ['IOVA_LO', 0x04, 4],
      ['IOVA_HI', 0x08, 4],
      ['LENGTH', 0x0c, 4],
      ['RESULT', 0x10, 4],
      ['DOORBELL', 0x14, 4],
      ['ATTRIBUTES', 0x18, 4],
      ['PA_LO', 0x1c, 4],
      ['PA_HI', 0x20, 4],
    ]);
  });

  it('have the attributes of a request: secure, space, valid', () => {
    const attributes = { secure: 1, space: 2, spaceValid: 1 };
    expect(testdev.TESTDEV_ATTRIBUTES.pack(attributes)).toBe(0xd);
    expect(testdev.TESTDEV_DOORBELL.pack({ arm: 1 })).toBe(1);
  });
});
